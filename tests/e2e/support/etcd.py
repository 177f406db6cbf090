"""One private etcd server: started, stopped, paused, and its own request counters."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
from pathlib import Path

from tests.e2e.support.ports import free_port
from tests.e2e.support.processes import MARK, send
from tests.support.wait import wait_for
from tools.servers import EtcdInstall, find_etcd


class EtcdServer:
    """A single-node etcd in its own folder, with v2 and v3 both enabled."""

    def __init__(self, folder: Path, mark: str, install: EtcdInstall | None = None) -> None:
        self.install = install or find_etcd()[-1]
        self.folder = folder
        self.client_port, self.peer_port = free_port(), free_port()
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port` of the client interface."""
        return f"127.0.0.1:{self.client_port}"

    def start(self) -> None:
        """Start (again, on the same data) and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        client, peer = f"http://{self.address}", f"http://127.0.0.1:{self.peer_port}"
        command = [str(self.install.program), "--name=one", f"--data-dir={self.folder / 'data'}"]
        command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        command += [f"--initial-cluster=one={peer}", "--enable-v2=true"]
        with (self.folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, MARK: self._mark}
            )
        wait_for(self.is_healthy, 30, f"etcd on {self.address} (see {self.folder / 'etcd.log'})")

    def is_healthy(self) -> bool:
        """Whether it answers /health with true, right now."""
        return '"true"' in self._get("/health")

    def stop(self) -> None:
        """SIGTERM and wait; nothing when it does not run."""
        if self._process is not None:
            send(self._process.pid, signal.SIGCONT)
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._process is not None
        send(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        assert self._process is not None
        send(self._process.pid, signal.SIGCONT)

    def requests(self) -> int:
        """Return how many requests it has received, also those within a stream; watches not."""
        total = 0.0
        for line in self._get("/metrics").splitlines():
            if (
                line.startswith("grpc_server_msg_received_total{")
                and 'grpc_method="Watch"' not in line
            ):
                total += float(line.rpartition(" ")[2])
        return int(total)

    def version(self) -> str:
        """Return the server's own version text."""
        match = re.search(r'"etcdserver":"([^"]+)"', self._get("/version"))
        return match[1] if match else "unknown"

    def _get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.client_port, timeout=2)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().read().decode()
            except OSError:
                return ""
