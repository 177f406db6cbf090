"""The engine's memory on disk: what must outlive a restart of the daemon."""

from __future__ import annotations

import contextlib
import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from engine.memory import after_restart, nothing_kept
from engine.state import Memory
from shell.postgres.errors import PostgresError
from shell.postgres.files import write_atomically
from shell.recorder.codec import DecodeError, decode, encode

_log = logging.getLogger(__name__)
PATIENCE_SECONDS = 0.5


class KeptMemory:
    """One small file, rewritten when the lasting part of the memory changes.

    A thread writes it, so that a hanging disk does not hang the main loop.
    """

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / "memory.json"
        self._written: Memory | None = None
        self._pool = ThreadPoolExecutor(1, "memory")
        self._writing: Future[None] | None = None

    def load(self) -> Memory:
        """What a former daemon left; an unreadable file counts as nothing, and is said.

        Only where there was none before is it certain that no cluster was ever seen here.
        """
        try:
            kept: Memory = decode(Memory, json.loads(self._path.read_text()))
        except FileNotFoundError:
            return nothing_kept()
        except (OSError, ValueError, DecodeError) as error:
            _log.warning("%s is not readable and is ignored: %s", self._path, error)
            return Memory()
        return after_restart(kept)

    def keep(self, memory: Memory) -> None:
        """Write the lasting part if it changed; a failure is logged and tried again next time.

        It is on disk at the return, unless the disk takes longer than `PATIENCE_SECONDS`.
        """
        lasting = after_restart(memory)
        under_way = self._writing is not None and not self._writing.done()
        if under_way or lasting == self._written:
            return
        self._writing = self._pool.submit(self._write, lasting)
        with contextlib.suppress(FutureTimeout):
            self._writing.result(PATIENCE_SECONDS)

    def _write(self, lasting: Memory) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A machine that crashes finds the old one or the new: from now on, the new.
            write_atomically(self._path, json.dumps(encode(lasting)), mode=0o600)
            self._written = lasting
        except (OSError, PostgresError) as error:
            _log.warning("what is remembered was not written: %s", error)
