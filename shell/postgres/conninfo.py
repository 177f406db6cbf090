"""libpq connection parameters and strings for every connection that is made.

A connection string never holds a password: it lies in a password file (`pgpass.py`).  Not here:
opening connections (`session.py`).
"""

from collections.abc import Mapping

import psycopg2
from psycopg2 import extensions

from shell.postgres.quoting import conninfo_value

# Which major version's libpq first knew an option that may be configured.
OPTION_SINCE = {"gssencmode": 12, "channel_binding": 13, "sslcrldir": 14, "sslnegotiation": 17}


def build(parameters: Mapping[str, object]) -> str:
    """Return a libpq connection string; empty and None values are left out."""
    words = [
        f"{name}={conninfo_value(value)}"
        for name, value in parameters.items()
        if value is not None and value != ""
    ]
    return " ".join(words)


def known_options(options: Mapping[str, object], version: int) -> dict[str, object]:
    """Leave out the options that a libpq of that major version does not know."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and OPTION_SINCE.get(name, 0) <= version
    }


def parse(conninfo: str) -> dict[str, str]:
    """Return the parameters of a connection string; empty when it is not one."""
    try:
        return dict(extensions.parse_dsn(conninfo))
    except psycopg2.Error:
        return {}


def address_of(conninfo: str) -> str | None:
    """Return "host:port" of a connection string; None when it names no host."""
    found = parse(conninfo) if conninfo else {}
    host = found.get("host") or found.get("hostaddr")
    return f"{host}:{found.get('port') or 5432}" if host else None
