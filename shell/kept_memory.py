"""The engine's memory on disk: what must outlive a restart of the daemon."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from engine.memory import after_restart
from engine.state import Memory
from shell.recorder.codec import DecodeError, decode, encode

_log = logging.getLogger(__name__)


class KeptMemory:
    """One small file, rewritten when the lasting part of the memory changes."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / "memory.json"
        self._written: Memory | None = None

    def load(self) -> Memory:
        """What a former daemon left; an unreadable file counts as nothing, and is said."""
        try:
            kept: Memory = decode(Memory, json.loads(self._path.read_text()))
        except FileNotFoundError:
            return Memory()
        except (OSError, ValueError, DecodeError) as error:
            _log.warning("%s is not readable and is ignored: %s", self._path, error)
            return Memory()
        return after_restart(kept)

    def keep(self, memory: Memory) -> None:
        """Write the lasting part if it changed; a failure is logged and tried again next time."""
        lasting = after_restart(memory)
        if lasting == self._written:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(encode(replace(lasting))))
            temporary.replace(self._path)
            self._written = lasting
        except OSError as error:
            _log.warning("%s was not written: %s", self._path, error.strerror)
