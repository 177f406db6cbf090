"""The REST API: one listener in one thread, answering from the last publication.

Here belong HTTP, its documents and the contract of its status codes.  Nothing here talks to
PostgreSQL, and nothing decides what the node does: requests go to the desk or into the store.
"""
