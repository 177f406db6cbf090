"""A model of everything that the engine does not decide: stores, servers, networks, hosts, clients.

One process, one clock, no threads: whatever takes time is a generator that waits on the clock
(`events.py`).  The engine is the real one; `daemon.py`, `lanes.py` and `effects.py` repeat what the
shell does around it, step by step.  Everything is drawn from named random streams, and nothing
depends on the order of sets or on the wall clock: two runs of one seed are the same run.
"""
