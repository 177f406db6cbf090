"""Decisions to look at: from the flight recorder's files, or live from a node.

Belongs here: fetching, decoding, and which one is meant by a time.  Does not belong here: how a
decision is shown (engine/rendering.py) or judged (ctl/replay.py).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ctl.context import refuse
from ctl.rest import RestClient, RestError
from ctl.times import parse_moment
from engine.actions import Action
from engine.decide import Decision, explain
from engine.state import Snapshot
from shell.config import ConfigError, effective, load_local
from shell.recorder.codec import DecodeError, decode
from shell.recorder.reader import read_records

LIVE_TRIES = 5


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of the recorder: what the node knew, and what it did then.

    `outcomes` is as written: how each action ended.
    """

    wall: float
    snapshot: Snapshot
    fired: tuple[str, ...]
    actions: tuple[Action, ...]
    outcomes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A decision to explain; `notes` say what a reader must know about where it comes from."""

    snapshot: Snapshot
    decision: Decision
    source: str
    notes: tuple[str, ...] = ()
    outcomes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """Where a node answers and where it records, from its own file."""

    url: str
    records: Path
    rest: RestClient


def read_node(path: str) -> Node:
    """The node of that file; refuses with every error in it."""
    try:
        config = load_local(path, os.environ)
    except ConfigError as error:
        refuse(f"{path} cannot be used:\n{error}")
    settings, _ = effective(config, None)
    api = settings.restapi
    scheme = "https" if api.certfile else "http"
    host = f"[{api.connect_host}]" if ":" in api.connect_host else api.connect_host
    return Node(
        f"{scheme}://{host}:{api.connect_port}",
        Path(settings.recorder.dir),
        RestClient(config.values, insecure=settings.ctl.insecure),
    )


def parse_record(line: dict[str, Any]) -> Recorded:
    """A recorder's line as values; raises DecodeError when this version cannot read it."""
    fired = line.get("fired")
    outcomes = line.get("outcomes")
    return Recorded(
        wall=float(line["wall"]),
        snapshot=decode(Snapshot, line.get("snapshot")),
        fired=decode(tuple[str, ...], fired if fired is not None else []),
        actions=decode(tuple[Action, ...], line.get("actions", [])),
        outcomes=tuple(outcomes) if isinstance(outcomes, list) else (),
    )


def lines(path: Path, until: float | None = None) -> Iterator[dict[str, Any]]:
    """The recorder's lines of a file or folder, oldest first; refuses when there is none."""
    try:
        yield from read_records(path, until=until)
    except OSError as error:
        refuse(f"{error.filename or path}: {error.strerror or error}")


def find_recorded(path: Path, at: float | None) -> Found:
    """The newest decision, or the one that was in force at that time (seconds since 1970)."""
    last = None
    for line in lines(path, until=at):
        last = line
    if last is None:
        when = f" at or before {local_time(at)}" if at is not None else ""
        refuse(f"{path} has no recorded decision{when}")
    try:
        record = parse_record(last)
    except DecodeError as error:
        refuse(f"{path}: this version cannot read the record: {error}")
    decision = explain(record.snapshot)
    notes = []
    if decision.fired != record.fired or decision.actions != record.actions:
        notes.append(
            "the rules have changed since this was recorded; then fired:"
            f" {', '.join(record.fired) or 'none'} (`hae replay` shows the differences)"
        )
    return Found(
        record.snapshot,
        decision,
        f"recorded {local_time(record.wall)} in {path}",
        tuple(notes),
        record.outcomes,
    )


def find_live(rest: RestClient, url: str) -> Found:
    """A node's last decision; raises RestError when it does not answer."""
    snapshot, told = _snapshot(rest, url), _explained(rest, url)
    for _ in range(LIVE_TRIES):
        if told.get("wall") == snapshot.wall:
            break
        snapshot, told = _snapshot(rest, url), _explained(rest, url)
    notes = []
    if told.get("wall") == snapshot.wall:
        decision = _decode(Decision, told.get("decision"), url)
    else:  # it decides faster than we ask: the same rules are run here
        decision = explain(snapshot)
    age = told.get("age_seconds")
    if isinstance(age, int | float) and age > snapshot.policy.ttl_seconds:
        notes.append(f"the node has not decided anything for {age:.0f} s: its daemon hangs")
    return Found(snapshot, decision, f"{url} at {local_time(snapshot.wall)}", tuple(notes))


def moment(text: str) -> float:
    """Seconds since 1970 of `--at`; a time alone means today.  Refuses what is unreadable."""
    parsed = parse_moment(text) or parse_moment(f"{datetime.now():%Y-%m-%d} {text}")
    if parsed is None:
        refuse(f"Unable to parse time ({text}); give e.g. 2026-09-01T02:00:05+02:00 or 02:00:05")
    return parsed.timestamp()


def local_time(epoch: float) -> str:
    """A wall clock time for people, to the millisecond and with the zone."""
    return datetime.fromtimestamp(epoch).astimezone().isoformat(" ", "milliseconds")


def _snapshot(rest: RestClient, url: str) -> Snapshot:
    snapshot: Snapshot = _decode(Snapshot, _get(rest, url, "hae/snapshot"), url)
    return snapshot


def _explained(rest: RestClient, url: str) -> dict[str, Any]:
    return _get(rest, url, "hae/explain")


def _get(rest: RestClient, url: str, path: str) -> dict[str, Any]:
    answer = rest.call("GET", url, path)
    if answer.status != 200 or not answer.document:
        detail = answer.text[:200]
        raise RestError(f"{url}/{path} answered {answer.status}: {detail}", sent=True)
    return answer.document


def _decode(cls: Any, data: Any, url: str) -> Any:
    try:
        return decode(cls, data)
    except DecodeError as error:
        refuse(f"{url} runs another version, whose decision cannot be read here: {error}")
