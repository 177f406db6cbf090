"""Logging: plain or JSON lines, to standard error or to a file; it never blocks the loop."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import threading
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from shell.config.settings import LogSettings

# What hangs at the end, such as a pipe that nobody reads, must not keep the process alive.
CLOSE_SECONDS = 5.0
_PLAIN = "%(asctime)s %(levelname)s: %(message)s"
_JSON = "%(asctime)s %(levelname)s %(name)s %(message)s"


class _Dropping(logging.handlers.QueueHandler):
    """Counts what does not fit instead of waiting for room."""

    lost = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.lost += 1


class _Listener(logging.handlers.QueueListener):
    """Waits for room in a full queue instead of failing, when it is told to end."""

    def __init__(self, records: queue.Queue[Any], handler: logging.Handler) -> None:
        super().__init__(records, handler)
        self._records = records

    def enqueue_sentinel(self) -> None:
        self._records.put(None)


class Logs:
    """The logging of one daemon; `lost` counts records that the queue had no room for."""

    def __init__(self, settings: LogSettings) -> None:
        handler: logging.Handler = logging.StreamHandler()
        if settings.dir:
            handler = logging.handlers.RotatingFileHandler(
                f"{settings.dir}/patroni.log",
                maxBytes=settings.file_size_bytes,
                backupCount=settings.file_num,
                delay=True,
            )
        handler.setFormatter(_formatter(settings))
        self._queue: queue.Queue[Any] = queue.Queue(settings.max_queue_size)
        self._front = _Dropping(self._queue)
        self._listener = _Listener(self._queue, handler)
        root = logging.getLogger()
        root.handlers[:] = [self._front]
        self.use_levels(settings)
        self._listener.start()

    @property
    def lost(self) -> int:
        """Records lost because the writer was too slow."""
        return self._front.lost

    @staticmethod
    def use_levels(settings: LogSettings) -> None:
        """Take over the levels, also at a reload."""
        logging.getLogger().setLevel(settings.level)
        for name, level in settings.loggers.items():
            logging.getLogger(name).setLevel(level)
        for noisy in ("urllib3", "uvicorn"):
            logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))

    def close(self) -> None:
        """Write what is queued; what takes longer than `CLOSE_SECONDS` is left behind."""
        ending = threading.Thread(target=self._listener.stop, name="end of the log", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)


def _formatter(settings: LogSettings) -> logging.Formatter:
    if settings.type == "json":
        wanted = settings.format if isinstance(settings.format, str) else _JSON
        return JsonFormatter(
            wanted, datefmt=settings.dateformat, static_fields=dict(settings.static_fields)
        )
    wanted = settings.format if isinstance(settings.format, str) else _PLAIN
    return logging.Formatter(wanted, settings.dateformat)
