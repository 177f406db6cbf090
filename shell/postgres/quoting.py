"""Quoting for configuration files, connection strings and LSNs: text in, text out.

Not here: SQL quoting (psycopg2.sql does that).
"""


def config_value(value: object) -> str:
    """Quote a value for postgresql.conf; booleans become on/off."""
    if isinstance(value, bool):
        value = "on" if value else "off"
    text = str(value).replace("\\", "\\\\").replace("'", "''")
    return f"'{text}'"


def config_line(name: str, value: object) -> str:
    """Return one `name = 'value'` line, without its newline."""
    return f"{name} = {config_value(value)}"


def conninfo_value(value: object) -> str:
    """Quote a value for a libpq connection string, only where it is needed."""
    text = str(value)
    if text and not set(text) & set(" \t\n\r\f\v'\\"):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def pgpass_field(value: object) -> str:
    """Escape one field of a password file."""
    return str(value).replace("\\", "\\\\").replace(":", "\\:")


def parse_lsn(text: str | None) -> int | None:
    """Turn "X/Y" into bytes; None for None or for something else."""
    if not text:
        return None
    high, slash, low = text.partition("/")
    try:
        return (int(high, 16) << 32) + int(low, 16) if slash else None
    except ValueError:
        return None


def format_lsn(lsn: int) -> str:
    """Turn bytes into "X/Y"."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
