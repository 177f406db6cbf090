"""The JSON gateway's request bodies and answers, as plain data.

Belongs here: base64, ranges, compares, operations, key-values. Does not belong here: sending.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One stored key with its revision and the id of its lease (`0`: none)."""

    key: str
    value: str
    revision: int
    lease: str


def encoded(text: str | bytes) -> str:
    """Return base64 of a key or value."""
    return b64encode(text.encode() if isinstance(text, str) else text).decode("ascii")


def decoded(text: str) -> str:
    """Return the text of a base64 key or value; bytes that are no UTF-8 become U+FFFD."""
    return b64decode(text).decode("utf-8", "replace")


def key_value(message: Mapping[str, Any]) -> KeyValue:
    """Read one `mvccpb.KeyValue`; the gateway leaves out zero and empty fields."""
    return KeyValue(
        key=decoded(message.get("key", "")),
        value=decoded(message.get("value", "")),
        revision=int(message.get("mod_revision", 0)),
        lease=str(message.get("lease", "0")),
    )


def key_values(message: Mapping[str, Any]) -> list[KeyValue]:
    """Read the key-values of a range answer."""
    return [key_value(item) for item in message.get("kvs", [])]


def below(prefix: str) -> Json:
    """Return the range of all keys that start with `prefix`."""
    start = prefix.encode()
    return {"key": encoded(start), "range_end": encoded(start[:-1] + bytes([start[-1] + 1]))}


def put(key: str, value: str, lease: str | None = None) -> Json:
    """Return a put operation, without the `request_put` around it."""
    message = {"key": encoded(key), "value": encoded(value)}
    return message | {"lease": lease} if lease else message


def value_is(key: str, value: str) -> Json:
    """Compare: the key exists with this value."""
    return {"key": encoded(key), "target": "VALUE", "result": "EQUAL", "value": encoded(value)}


def absent(key: str) -> Json:
    """Compare: the key does not exist."""
    return {
        "key": encoded(key),
        "target": "CREATE",
        "result": "EQUAL",
        "create_revision": "0",
    }


def revision_is(key: str, revision: int) -> Json:
    """Compare: the key's last change was at this revision."""
    return {
        "key": encoded(key),
        "target": "MOD",
        "result": "EQUAL",
        "mod_revision": str(revision),
    }


def lease_is(key: str, lease: str) -> Json:
    """Compare: the key hangs on this lease."""
    return {"key": encoded(key), "target": "LEASE", "result": "EQUAL", "lease": lease}


def transaction(
    compare: Json | list[Json], success: Iterable[Json], failure: Iterable[Json]
) -> Json:
    """Return a transaction with one comparison, or several that must all hold."""
    comparisons = compare if isinstance(compare, list) else [compare]
    return {"compare": comparisons, "success": list(success), "failure": list(failure)}
