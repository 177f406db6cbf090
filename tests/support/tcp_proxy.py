"""TCP proxies whose links can be cut in silence, as a network does that swallows packets.

A cut link forwards nothing, not even an end: what was sent waits, new connections are taken and
get no answer. Healed, all of it goes on. Belongs here: bytes. Must not: know who talks to whom.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.ports import free_port

CHUNK_BYTES = 65536
Address = tuple[str, int]


class Link:
    """One connection through a proxy; `label` says what the proxy's owner knows about it."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._open = asyncio.Event()
        self._open.set()

    def set_cut(self, cut: bool) -> None:
        """Hold everything, or let it go on."""
        (self._open.clear if cut else self._open.set)()

    async def passes(self) -> None:
        """Wait until the link is not cut."""
        await self._open.wait()


class Proxies:
    """Any number of proxies in one thread.

    `label_of(target name, client address)` names a new connection; it is cut while `is_cut(label)`.
    """

    def __init__(
        self, label_of: Callable[[str, Address], str], is_cut: Callable[[str], bool]
    ) -> None:
        self._label_of = label_of
        self._is_cut = is_cut
        self._loop = asyncio.new_event_loop()
        self._links: set[Link] = set()
        self._thread = threading.Thread(target=self._run, name="proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def add(self, name: str, port: int) -> int:
        """Listen on a free port of 127.0.0.1 for the server at `port`; return that free port."""
        own = free_port()
        asyncio.run_coroutine_threadsafe(self._listen(name, own, port), self._loop).result(10)
        return own

    def look_again(self) -> None:
        """Ask `is_cut` about every link; returns when all of them obey."""
        asyncio.run_coroutine_threadsafe(self._apply(), self._loop).result(10)

    def _run(self) -> None:
        self._loop.run_forever()
        if tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()

    async def _apply(self) -> None:
        for link in self._links:
            link.set_cut(self._is_cut(link.label))

    async def _listen(self, name: str, own: int, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(name, port, reader, writer)

        await asyncio.start_server(serve, "127.0.0.1", own)

    async def _serve(
        self, name: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = Link(self._label_of(name, writer.get_extra_info("peername")))
        link.set_cut(self._is_cut(link.label))
        self._links.add(link)
        ends = [writer]
        try:
            await link.passes()
            there = await asyncio.open_connection("127.0.0.1", port)
            ends.append(there[1])
            await asyncio.gather(_pump(link, reader, there[1]), _pump(link, there[0], writer))
        except OSError:  # nobody listens there, or one side broke off: so does the other
            for end in ends:
                end.transport.abort()
        finally:
            for end in ends:
                end.close()
            self._links.discard(link)


async def _pump(link: Link, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Carry bytes one way until the end, which is carried too."""
    try:
        while data := await source.read(CHUNK_BYTES):
            await link.passes()
            target.write(data)
            await target.drain()
    except OSError:
        await link.passes()
        raise
    await link.passes()
    target.write_eof()
