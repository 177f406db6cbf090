"""Password files: the only place where passwords are written, mode 0600.

Not here: whose passwords.  Passwords never go into argv, the environment or a connection string.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shell.postgres import conninfo
from shell.postgres.files import read_text, write_atomically
from shell.postgres.quoting import pgpass_field


@dataclass(frozen=True, slots=True)
class Entry:
    """One host with its user; `host` may be several, separated by commas, as libpq takes them."""

    host: str
    port: int | str
    user: str
    password: str = field(repr=False)


def lines(entries: Iterable[Entry]) -> list[str]:
    """Return the lines of the file, for any database; each host gets its own."""
    found: dict[str, None] = {}
    for entry in entries:
        hosts = entry.host.split(",")
        ports = str(entry.port).split(",")
        if any(host.startswith(("/", "@")) or not host for host in hosts):
            # libpq looks a socket directory up as "localhost" when it is the default one.
            hosts, ports = [*hosts, "localhost"], [*ports, ports[0]]
        for index, host in enumerate(hosts):
            port = ports[min(index, len(ports) - 1)]
            words = [pgpass_field(word) for word in (host, port)]
            words += ["*", pgpass_field(entry.user), pgpass_field(entry.password)]
            found[":".join(words)] = None
    return list(found)


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Put these entries into the file, keeping lines for other servers.  Raises PostgresError.

    Several nodes of one account may share the file.
    """
    new = lines(entries)
    keys = {_key(line) for line in new}
    kept = [line for line in (read_text(path) or "").splitlines() if _key(line) not in keys]
    write_atomically(path, "".join(f"{line}\n" for line in [*kept, *new]), mode=0o600)


_BEFORE_PASSWORD = re.compile(r"(?:(?:[^:\\]|\\.)*:){4}")


def _key(line: str) -> str:
    """Host, port, database and user of a line, still escaped; other lines are their own key."""
    found = _BEFORE_PASSWORD.match(line)
    return found[0] if found else line


@contextmanager
def temporary(entries: Iterable[Entry]) -> Iterator[Path]:
    """A password file that exists only inside the `with`; name it by PGPASSFILE or passfile=."""
    with secret_file("".join(f"{line}\n" for line in lines(entries)), "pgpass") as path:
        yield path


@contextmanager
def secret_file(text: str, name: str) -> Iterator[Path]:
    """Keep a text in a file of mode 0600 that exists only inside the `with`."""
    descriptor, path = tempfile.mkstemp(prefix=f"hae-{name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        yield Path(path)
    finally:
        Path(path).unlink(missing_ok=True)


@contextmanager
def for_tool(
    target: Mapping[str, object], entries: Iterable[Entry], sslpassword: str | None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Connection string and environment for a tool, both free of secrets.

    The secrets lie in files that exist only inside the `with`.
    """
    with ExitStack() as stack:
        environment = {"PGPASSFILE": str(stack.enter_context(temporary(entries)))}
        service = ""
        if sslpassword is not None:
            # libpq has neither a file nor a variable for this one, only service files.
            text = f"[hae]\nsslpassword={sslpassword}\n"
            environment["PGSERVICEFILE"] = str(stack.enter_context(secret_file(text, "service")))
            service = "hae"
        yield conninfo.build({**target, "service": service}), environment
