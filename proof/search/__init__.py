"""The exhaustive search: small worlds, explored until nothing new is found.

`model.py` says what a state is, `look.py` makes the engine's snapshot of it, `effects.py` and
`moves.py` say what can happen next, `space.py` packs states, `explore.py` walks through all of
them, `worlds.py` names the worlds that are searched.  docs/proof.md says what they cover.
"""
