"""The kinds of values that a configuration key can have: one record each, made by small functions.

A kind turns what was written into the normal form that the rest of the program uses, or refuses
it by raising `Refused`.  Nothing here knows any key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shell.config.units import parse_boolean, parse_bytes, parse_integer, parse_seconds


class Refused(Exception):  # noqa: N818 - it says what happened, and never leaves the package
    """The value is not of this kind; the text, when given, is a more exact reason."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`allowed` completes the sentence "allowed: ..."; `parse` returns the normal form.

    `shape` tells the environment reader how to take a text: as it is, as a list or as a mapping.
    """

    allowed: str
    parse: Callable[[Any], Any]
    shape: str = "scalar"


class Written:
    """A number that keeps the text it was written as, because 0123 as a password is not 83."""

    text: str


class WrittenInt(int, Written):
    """A whole number with its spelling."""


class WrittenFloat(float, Written):
    """A number with its spelling."""


def plain(value: Any) -> Any:
    """Return `value` with every `Written` number replaced by the plain one, all the way down."""
    if isinstance(value, WrittenInt):
        return int(value)
    if isinstance(value, WrittenFloat):
        return float(value)
    if isinstance(value, Mapping):
        return {as_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def as_key(key: Any) -> str:
    """Return the text of a mapping's key; YAML reads `on:` as a boolean and `1:` as a number."""
    if isinstance(key, bool):
        return "on" if key else "off"
    return str(getattr(key, "text", key))


def as_text(value: Any) -> str:
    """Return a scalar as text, as it was written."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refused
    text = str(getattr(value, "text", value))
    if "\0" in text or (not text.isascii() and text != text.encode(errors="replace").decode()):
        raise Refused("text without NUL and without broken characters")
    return text


def as_setting(value: Any) -> str:
    """Return a PostgreSQL setting's value as text: booleans become on and off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = as_text(value).rstrip("\n")  # a YAML block ends with one
    if "\n" in text:
        raise Refused("one line of text: PostgreSQL's files know no other")
    return text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        raise Refused("text; YAML reads this word as a boolean, so put it in quotes")
    text = as_text(value)
    if not text.strip():
        raise Refused
    return text


def _any_text(value: Any) -> str:
    if isinstance(value, bool):
        raise Refused("text; YAML reads this word as a boolean, so put it in quotes")
    text = as_text(value)
    if "\n" in text:
        raise Refused
    return text


def _boolean(value: Any) -> bool:
    result = parse_boolean(value)
    if result is None:
        raise Refused
    return result


text = Kind("text", _text)
secret_text = Kind("one line of text", _any_text)
setting = Kind("text, a number or a boolean", as_setting)
boolean = Kind("on/off, true/false, yes/no or 1/0", _boolean)
anything = Kind("anything", plain)


def _ranged(
    what: str, number: Callable[[Any], int | None], low: int | None, high: int | None
) -> Kind:
    bounds = {
        (False, False): "",
        (True, False): f" >= {low}",
        (False, True): f" <= {high}",
        (True, True): f" from {low} to {high}",
    }[(low is not None, high is not None)]

    def parse(value: Any) -> int:
        result = number(value)
        if result is None or (low is not None and result < low):
            raise Refused
        if high is not None and result > high:
            raise Refused
        return result

    return Kind(what + bounds, parse)


def integer(low: int | None = None, high: int | None = None) -> Kind:
    """Return the kind of whole numbers within the bounds."""
    return _ranged("a whole number", parse_integer, low, high)


def size(low: int | None = None, high: int | None = None) -> Kind:
    """Return the kind of sizes in bytes, written bare or with B, kB, MB, GB, TB."""
    return _ranged("a size in bytes (or with kB, MB, GB, TB)", parse_bytes, low, high)


def seconds(low: int | None = None, high: int | None = None) -> Kind:
    """Return the kind of durations in seconds, written bare or with us, ms, s, min, h, d."""
    return _ranged("a time in seconds (or with ms, s, min, h, d)", parse_seconds, low, high)


def choice(*words: str) -> Kind:
    """Return the kind that allows exactly these words; booleans are understood as on and off."""

    def parse(value: Any) -> str:
        word = as_setting(value).strip()
        folded = {candidate.lower(): candidate for candidate in words}
        if word.lower() not in folded:
            as_boolean = parse_boolean(value)
            word = word if as_boolean is None else ("on" if as_boolean else "off")
        if word.lower() not in folded:
            raise Refused
        return folded[word.lower()]

    return Kind("one of " + ", ".join(words), parse)


def _file_mode(value: Any) -> int:
    digits = getattr(value, "text", value)
    if isinstance(digits, str):
        if not re.fullmatch(r"(0o?)?[0-7]{3}", digits.strip()):
            raise Refused
        return int(digits.strip().removeprefix("0o"), 8)
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 0o777:
        raise Refused
    return digits


file_mode = Kind("an octal file mode such as 0644", _file_mode)


def split_address(address: str) -> tuple[str, int | None]:
    """Split `host[,host]:port`, `[::1]:port` or `host` into hosts text and port.

    Raises Refused for a missing host or a port outside 1..65535.
    """
    hosts, port = address.strip(), ""
    if not hosts.endswith("]") and ":" in hosts:
        hosts, port = hosts.rsplit(":", 1)
        if hosts.count(":") and "[" not in hosts:
            raise Refused("an IPv6 address is written in brackets: [::1]:5432")
    hosts = ",".join(part.strip().strip("[]") for part in hosts.split(","))
    if not hosts or any(not part or re.search(r"[\s/]", part) for part in hosts.split(",")):
        raise Refused
    if port and (not re.fullmatch(r"\d{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535):
        raise Refused("a port from 1 to 65535")
    return hosts, int(port) if port else None


def address(*, many: bool = False, port_required: bool = False) -> Kind:
    """Return the kind of `host:port`; `many` allows several hosts before the port."""
    hosts = "host[,host]" if many else "host"
    allowed = f"{hosts}:port" if port_required else f"{hosts}[:port]"

    def parse(value: Any) -> str:
        found, port = split_address(_text(value))
        if (port_required and port is None) or (not many and "," in found):
            raise Refused
        return str(value).strip()

    return Kind(allowed, parse)


def list_of(item: Kind, *, comma_text: bool = False) -> Kind:
    """Return the kind of lists; with `comma_text` also "a,b" as one text."""

    def parse(value: Any) -> list[Any]:
        if comma_text and isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, list):
            raise Refused
        return [item.parse(entry) for entry in value]

    allowed = f"a list, each item {item.allowed}" + (" (or text, comma-separated)" * comma_text)
    return Kind(allowed, parse, "list")


def mapping_of(item: Kind) -> Kind:
    """Return the kind of mappings from any name to values of one kind; null values are dropped."""

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Refused
        result = {}
        for key, entry in value.items():
            if entry is None:
                continue
            try:
                result[as_key(key)] = item.parse(entry)
            except Refused as error:
                reason = str(error) or item.allowed
                raise Refused(f"for {as_key(key)!r}: {reason}") from None
        return result

    return Kind(f"a mapping of names to {item.allowed}", parse, "mapping")


def options(*refused: str) -> Kind:
    """Return the kind of long options of a PostgreSQL tool: a list or a mapping.

    The normal form is a list of [name, value or None].  Names in `refused` belong to hae.
    """

    def one(name: str, value: Any) -> list[Any]:
        if name.startswith("-") or "=" in name or " " in name.strip():
            raise Refused(f"{name!r}: write `- name` or `- name: value`, without dashes or =")
        if name in refused:
            raise Refused(f"{name!r} is set by hae itself; leave it out")
        return [name, None if value is None or value is True else as_text(value)]

    def parse(value: Any) -> list[list[Any]]:
        if isinstance(value, Mapping):
            return [one(as_key(k), v) for k, v in value.items() if v is not False]
        if not isinstance(value, list):
            raise Refused
        result = []
        for entry in value:
            pairs = entry.items() if isinstance(entry, Mapping) else [(as_text(entry), None)]
            result += [one(as_key(k), v) for k, v in pairs if v is not False]
        return result

    return Kind("a list of `name` or `name: value`, or a mapping", parse, "list")


def basebackup_options() -> Kind:
    """Return the kind of pg_basebackup's options; compression works only on the server's side."""
    base = options(
        *("pgdata", "format", "wal-method", "gzip", "version"),
        *("dbname", "host", "port", "username", "password"),
    )

    def parse(value: Any) -> list[list[Any]]:
        found: list[list[Any]] = base.parse(value)
        for name, argument in found:
            if name == "compress" and not str(argument or "").startswith("server"):
                raise Refused("'compress' only with server-..., because the result is not a file")
        return found

    return Kind(base.allowed, parse, base.shape)
