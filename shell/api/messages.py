"""One request and one answer, and how a body is read within bounds of time and size.

Here belongs what every call shares of HTTP over ASGI; nothing about any particular path.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
BodyRule = Literal["none", "optional", "required"]

JSON = b"application/json"
TEXT = b"text/html"
METRICS = b"text/plain; version=0.0.4"

MOST_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 10.0
# The body of a refused request is still read, so that the caller sees the answer instead of a
# reset connection; but only this much of it, and for this long.
MOST_DISCARDED_BYTES = 8 * MOST_BODY_BYTES
DISCARD_SECONDS = 2.0
MOST_QUERY_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, body and further headers."""

    status: int
    body: bytes = b""
    content_type: bytes = TEXT
    headers: Headers = ()


class BadRequest(Exception):  # noqa: N818 - it is an answer
    """The request cannot be served as it is; `response` says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.response = answer(status, text)


class Disconnected(Exception):  # noqa: N818 - nobody is left to answer
    """The caller went away before the whole request had come."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the handlers see it; `body` is None where no body came."""

    method: str
    path: str
    query: Mapping[str, str]
    client: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[bytes, bytes] = field(default_factory=dict)


def answer(status: int, text: str, headers: Headers = ()) -> Response:
    """Return a plain-text answer."""
    return Response(status, text.encode("utf-8", "replace"), TEXT, headers)


def json_answer(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """Return a JSON answer."""
    return Response(status, json.dumps(value, default=dict).encode(), JSON, headers)


def parse_query(raw: bytes) -> dict[str, str]:
    """Return the parameters, the first of each name; raises BadRequest for too many."""
    if not raw:
        return {}
    try:
        fields = parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS
        )
    except ValueError:
        raise BadRequest(400, f"more than {MOST_QUERY_FIELDS} query parameters") from None
    return dict(reversed(fields))


async def read_object(
    rule: BodyRule, headers: Mapping[bytes, bytes], receive: Receive
) -> Mapping[str, Any] | None:
    """Return the JSON object in the body; raises BadRequest or Disconnected."""
    length = headers.get(b"content-length")
    if rule == "required" and length is None:
        raise BadRequest(411, "Content-Length is missing")
    body = await read_body(receive, int(length) if length and length.isdigit() else 0)
    if rule == "none" or (rule == "optional" and not body.strip()):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest(400, "the body is not a JSON object")
    if rule == "required" and not value:
        raise BadRequest(400, "the body is an empty object")
    return value


async def read_body(receive: Receive, announced_bytes: int) -> bytes:
    """Return the whole body; raises BadRequest when it is too large or too slow."""
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more and max(len(body), announced_bytes) <= MOST_BODY_BYTES:
                chunk, more = await _chunk(receive)
                body += chunk
    except TimeoutError:
        raise BadRequest(408, f"the body did not come within {BODY_SECONDS:g} seconds") from None
    if max(len(body), announced_bytes) > MOST_BODY_BYTES:
        if more:
            await discard_body(receive)
        raise BadRequest(413, f"the body is larger than {MOST_BODY_BYTES} bytes")
    return bytes(body)


async def discard_body(receive: Receive) -> None:
    """Take what the caller still sends, within bounds, so that the refusal reaches it."""
    got_bytes, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while more and got_bytes <= MOST_DISCARDED_BYTES:
                chunk, more = await _chunk(receive)
                got_bytes += len(chunk)


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    """Return the next piece of the body, and whether more will come; raises Disconnected."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)
