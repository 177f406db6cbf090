"""A node's own configuration file, for what needs one and starts no server."""

from __future__ import annotations

from pathlib import Path


def node_file(folder: Path, *more: str) -> Path:
    """Write `node.yml` for n1 with its data directory in that folder; `more`: of postgresql."""
    path = folder / "node.yml"
    lines = "".join(f"  {line}\n" for line in more)
    path.write_text(
        f"""
scope: demo
name: n1
etcd3: {{host: 127.0.0.1:2379}}
restapi: {{listen: 127.0.0.1:8008, connect_address: 127.0.0.1:8008}}
postgresql:
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  data_dir: {folder}/data
  bin_dir: /usr/lib/postgresql/15/bin
{lines}  authentication:
    superuser: {{username: postgres}}
    replication: {{username: replicator}}
"""
    )
    return path
