"""What the nodes of a cluster under test have in their YAML; hae and Patroni read the same file."""

from __future__ import annotations

from pathlib import Path

from tools.node_file import Document, Place, Shared, merged, node_document

SCOPE = "batman"
PASSWORDS = {
    "postgres": "super-Secret-1",
    "replicator": "repl-Secret-2",
    "rewinder": "rew-Secret-3",
    # Not of PostgreSQL: the store's and the REST API's user, where a cluster has them.
    "keeper": "etcd-Secret-4",
    "operator": "rest-Secret-5",
}
_USERS = {"superuser": "postgres", "replication": "replicator", "rewind": "rewinder"}
_DYNAMIC: Document = {
    "ttl": 30,
    "loop_wait": 10,
    "retry_timeout": 10,
    "maximum_lag_on_failover": 1048576,
    "postgresql": {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {
            "max_connections": 50,
            "shared_buffers": "16MB",
            "wal_keep_size": "64MB",
        },
    },
}


def document_of(
    place: Place, bin_dir: Path, sockets: Path, store: Document, dynamic: Document
) -> Document:
    """Return the document of one node; `store` is its section, such as {"etcd3": {...}}."""
    logins = {role: (user, PASSWORDS[user]) for role, user in _USERS.items()}
    shared = Shared(SCOPE, bin_dir, str(sockets), store, dynamic, logins)
    return {**node_document(place, shared), "log": {"level": "INFO"}, "tags": {}}


def dynamic_document(changes: Document) -> Document:
    """Return the dynamic configuration for a small cluster, `changes` merged in."""
    return merged(_DYNAMIC, changes)
