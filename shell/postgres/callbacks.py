"""The operator's commands: callbacks in the background, hooks in the foreground.

One callback runs at a time; a newer one ends an older one that still runs.  `on_reload` has its
own place.  Not here: when and with which role to call.
"""

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

from shell.postgres.commands import clean_environment, run, run_checked
from shell.postgres.errors import PostgresError

BEFORE_STOP_SECONDS = 60.0
START_SECONDS = 0.5
_log = logging.getLogger(__name__)


class CallbackRunner:
    """Starts callbacks and collects them when they have ended."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "callbacks")

    def call(self, command: str, action: str, role: str, scope: str) -> None:
        """Start `command action role scope`, and do not wait for it; a failure is only logged.

        It has been started at the return, unless that takes longer than `START_SECONDS`: a program
        on a hanging disk must not hang the main loop.
        """
        with contextlib.suppress(FutureTimeout):
            self._pool.submit(self._start, command, action, role, scope).result(START_SECONDS)

    def _start(self, command: str, action: str, role: str, scope: str) -> None:
        place = "reload" if action == "on_reload" else "role"
        with self._lock:
            self._end(place)
            try:
                argv = [*shlex.split(command), action, role, scope]
                self._running[place] = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    env=clean_environment(),
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                _log.error("postgresql.callbacks.%s cannot be run: %s", action, error)

    def reap(self) -> None:
        """Collect callbacks that have ended, so that they do not stay as zombies."""
        with self._lock:
            for place, child in list(self._running.items()):
                code = child.poll()
                if code is not None:
                    del self._running[place]
                    if code != 0:
                        _log.warning("callback %s ended with code %d", child.args, code)

    def _end(self, place: str) -> None:
        child = self._running.pop(place, None)
        if child is None or child.poll() is not None:
            return
        _log.warning("a newer callback ends %s, which still runs", child.args)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.2)


def run_pre_promote(command: str | None, cancel: threading.Event) -> None:
    """Run the hook before a promotion; raises PostgresError when it refuses."""
    if command:
        run_checked(shlex.split(command), "postgresql.pre_promote", cancel=cancel)


def run_before_stop(command: str | None, cancel: threading.Event) -> None:
    """Run the hook before a stop; its result is only logged."""
    if not command:
        return
    try:
        done = run(
            shlex.split(command),
            "postgresql.before_stop",
            cancel=cancel,
            timeout_seconds=BEFORE_STOP_SECONDS,
        )
    except PostgresError as error:
        _log.warning("%s", error)
        return
    if done.code != 0:
        _log.warning("postgresql.before_stop ended with code %d", done.code)
