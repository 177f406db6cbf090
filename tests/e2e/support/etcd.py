"""The private etcd of a cluster under test, with its own request counters."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Self

from tests.support import etcd
from tests.support.ports import free_port
from tools.servers import EtcdInstall, find_etcd


class EtcdServer(etcd.EtcdServer):
    """A single-member etcd below the cluster's folder: `kill` keeps its data for a new `start`."""

    def __init__(self, folder: Path, install: EtcdInstall | None = None) -> None:
        self.install = install or find_etcd()[-1]
        super().__init__(
            binary=self.install.program,
            enable_v2=True,
            port=free_port(),
            peer_port=free_port(),
            folder=folder,
        )

    def start(self) -> Self:
        """Start (again, on the same data) and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return super().start()

    def requests(self) -> int:
        """Return how many requests it has received, also those within a stream; watches not."""
        total = 0.0
        for line in self._get("/metrics").splitlines():
            if line.startswith("grpc_server_msg_received_total{"):
                total += 0 if 'grpc_method="Watch"' in line else float(line.rpartition(" ")[2])
        return int(total)

    def version(self) -> str:
        """Return the server's own version text."""
        return str(json.loads(self._get("/version"))["etcdserver"])

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return str(answer.read().decode())
