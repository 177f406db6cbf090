"""The proof: what must never happen, and worlds in which it is looked for.

`invariants.py` and `promises.py` say what must hold; `world/` is a model of stores, servers,
networks and hosts that the real engine lives in; `simulator/` drives it by a seed.  Nothing here
is needed by a running daemon.
"""
