"""Three etcd servers that form one cluster, so that one may be lost."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

from tests.support.etcd import EtcdServer
from tests.support.ports import free_port
from tests.support.wait import wait_for
from tools.servers import EtcdInstall, find_etcd

NAMES = ("e1", "e2", "e3")


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=2) as answer:
        return dict(json.load(answer))


class EtcdTrio:
    """Members e1, e2, e3 below one folder; `kill` keeps their data for a new `start`."""

    def __init__(self, folder: Path, install: EtcdInstall | None = None) -> None:
        program = (install or find_etcd()[-1]).program
        peers = {name: free_port() for name in NAMES}
        self.members = [
            EtcdServer(
                binary=program,
                name=name,
                peer_port=peers[name],
                cluster={n: f"http://127.0.0.1:{port}" for n, port in peers.items()},
                folder=folder / name,
            )
            for name in NAMES
        ]

    def start(self) -> None:
        """Start all, which wait for each other, until each serves."""
        for member in self.members:
            member.folder.mkdir(parents=True, exist_ok=True)
            member.launch()
        for member in self.members:
            member.wait_up()

    def kill(self) -> None:
        """Kill all and keep their data."""
        for member in self.members:
            member.kill()

    def leader(self) -> EtcdServer:
        """Return the member that leads."""
        return wait_for(self._find_leader, 20, "a leader of etcd")

    def end_lease_of(self, key: str) -> None:
        """Let the lease that a key hangs on end at once, and all of its keys with it."""
        url = self.leader().url
        held = _post(f"{url}/v3/kv/range", {"key": b64encode(key.encode()).decode()})["kvs"][0]
        _post(f"{url}/v3/lease/revoke", {"ID": held["lease"]})

    def _find_leader(self) -> EtcdServer | None:
        for member in self.members:
            try:
                status = _post(f"{member.url}/v3/maintenance/status", {})
            except OSError:
                continue
            if status["leader"] == status["header"]["member_id"]:
                return member
        return None
