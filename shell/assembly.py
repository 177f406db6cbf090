"""The assembly of one daemon: every part made, put together, run, and ended."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from engine.decide import explain
from shell import layout
from shell.api.office import Services
from shell.api.sockets import ListenError
from shell.api.tls import TlsError
from shell.config import LocalConfig, Settings, effective, unbuilt_problems
from shell.config.drift import bootstrap_drift
from shell.config.problems import has_errors
from shell.configured import Configured
from shell.daemon import Daemon
from shell.desk import Desk
from shell.fence.client import Fence
from shell.listening import Listening
from shell.logs import Logs
from shell.peers import Peers
from shell.postgres.instance import Instance
from shell.recorder.recorder import Recorder
from shell.stores.base import Entry, Store, StoreError, StoreMisconfigured, StoreUnavailable
from shell.stores.factory import open_store
from shell.version import PRODUCT_VERSION
from shell.wakeup import Wakeup
from shell.world import World

_log = logging.getLogger("hae")


class DuplicateNameError(Exception):
    """Another running daemon has our name."""


class NotBuiltError(Exception):
    """The configuration asks for something that this version must not pretend to do."""


def run_daemon(path: str | None, local: LocalConfig) -> int:
    """Run until a decision says Exit, or until something makes that impossible; the exit code.

    The process ends here, without waiting for threads that hang on a stuck store or server.
    """
    for name in local.environment:
        os.environ.pop(name, None)
    configured = Configured(path, local)
    logs = Logs(configured.settings.log)
    for warning in local.warnings:
        _log.warning("configuration: %s", warning)
    settings = configured.settings
    _log.info("hae %s starts %s of cluster %s", PRODUCT_VERSION, settings.name, settings.scope)
    try:
        code = _run(configured, local)
    except (ListenError, TlsError, DuplicateNameError, NotBuiltError, StoreError) as error:
        _log.error("%s", error)
        code = 1
    except Exception:
        _log.exception("the daemon ends by a mistake of its own; the fence guards PostgreSQL")
        code = 1
    logs.close()
    sys.stdout.flush()
    os._exit(code)


def _run(configured: Configured, local: LocalConfig) -> int:
    settings = configured.settings
    hangup = _noted_hangup()
    store = open_store(
        {settings.store.kind: dict(settings.store.options)},
        namespace=settings.namespace,
        scope=settings.scope,
    )
    wakeup, desk, peers = Wakeup(), Desk(), Peers(settings)
    desk.on_wake = wakeup.wake
    folder = Path(settings.recorder.dir)
    fence = None
    if settings.fence.mode != "off":
        fence = Fence(settings.postgresql.data_dir, folder / "fence.log")
    world = World(configured, store, Instance(settings), fence, desk, peers, wakeup.wake)
    entries = _wait_for_store(store, world)
    _refuse_unbuilt(local, entries)
    _refuse_duplicate(settings, entries, peers)
    _warn_of_drift(settings, local, entries)
    listening = Listening(Services(desk, store, peers.ask, explain), settings)
    listening.start()
    recorder = Recorder(folder, max_bytes=settings.recorder.max_bytes)
    return Daemon(world, wakeup, recorder, listening).run(hangup)


def _noted_hangup() -> threading.Event:
    """Note a SIGHUP for the main loop: while we wait for the store it would end us otherwise.

    systemd counts that as a clean end, and starts nobody who has ended so again.
    """
    noted = threading.Event()
    signal.signal(signal.SIGHUP, lambda _number, _frame: noted.set())
    return noted


def _wait_for_store(store: Store, world: World) -> Mapping[str, Entry]:
    """The first view; the store is waited for without end, a wrong configuration is not."""
    told = ""
    while True:
        try:
            return store.view(world.deadline()).entries
        except StoreMisconfigured:
            raise
        except StoreUnavailable as error:
            if str(error) != told:
                told = str(error)
                _log.warning("waiting for the store: %s", told)
            time.sleep(1.0)


def _refuse_unbuilt(local: LocalConfig, entries: Mapping[str, Entry]) -> None:
    """End if a promise in the configuration cannot be kept; say what is merely missing."""
    live = layout.dynamic_config(entries)[0]
    settings, _ = effective(local, local.bootstrap_dcs if live is None else live)
    problems = unbuilt_problems(settings)
    for problem in problems:
        if problem.severity == "warning":
            _log.warning("configuration: %s", problem)
    if has_errors(problems):
        raise NotBuiltError("; ".join(str(p) for p in problems if p.severity == "error"))


def _refuse_duplicate(settings: Settings, entries: Mapping[str, Entry], peers: Peers) -> None:
    """End if a member of our name answers: two daemons of one name would fight over its key."""
    for member in layout.parse_members(entries):
        if member.name != settings.name or not member.api_url:
            continue
        if any(answer.reachable for answer in peers.ask([member], 2.0)):
            raise DuplicateNameError(
                f"a member with the name {settings.name} is running at {member.api_url}: "
                "give this node another name, or stop that one"
            )


def _warn_of_drift(settings: Settings, local: LocalConfig, entries: Mapping[str, Entry]) -> None:
    """bootstrap.dcs is used once; say where it differs from what is in force."""
    live = layout.dynamic_config(entries)[0]
    if live is not None:
        for text in bootstrap_drift(local.bootstrap_dcs, live, settings.scope):
            _log.warning("%s", text)
