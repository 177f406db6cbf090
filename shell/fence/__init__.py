"""The software fence: PostgreSQL is dead by its deadline even if hae's daemon is not there.

Here: the guard (a tiny process of its own, one per data directory) and the daemon's client for
it. Not here: what the deadline is; that follows from the lease and is the engine's decision.
Nothing is imported here, because the guard pays for it in memory.
"""
