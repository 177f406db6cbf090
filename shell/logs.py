"""Logging: plain or JSON lines, to standard error or to a file; it never blocks the loop."""

from __future__ import annotations

import logging
import logging.handlers
import queue
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from shell.config.settings import LogSettings

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
        self._listener = logging.handlers.QueueListener(self._queue, handler)
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
        """Write what is queued."""
        self._listener.stop()


def _formatter(settings: LogSettings) -> logging.Formatter:
    if settings.type == "json":
        wanted = settings.format if isinstance(settings.format, str) else _JSON
        return JsonFormatter(
            wanted, datefmt=settings.dateformat, static_fields=dict(settings.static_fields)
        )
    wanted = settings.format if isinstance(settings.format, str) else _PLAIN
    return logging.Formatter(wanted, settings.dateformat)
