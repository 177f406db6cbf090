"""The store's layout: key names, the JSON inside, and how both become records and back.

Here, and nowhere else, stand the names of the keys and the shapes of their values.  Pure functions
only: no I/O, no clock, no decision.  Keys are relative to the cluster's base path.
Readers never raise: other programs, older releases and people's hands write these keys too, and a
value that cannot be read counts as empty.  Writers give the exact compact text that is stored.
"""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from engine.state import Cluster, FailoverRequest, HistoryLine, Member, SyncState, Tags

LEADER = "leader"
MEMBERS = "members/"
CONFIG = "config"
INITIALIZE = "initialize"
STATUS = "status"
OPTIME_LEADER = "optime/leader"
HISTORY = "history"
SYNC = "sync"
FAILOVER = "failover"
FAILSAFE = "failsafe"
OWN = "hae/"
FOUNDER = OWN + "founder"

# An unreadable time must neither run a request at once nor keep it for ever: a time long past is
# dropped by the leader as missed.
UNREADABLE_TIME_EPOCH = 0.0

_TRUE = frozenset({"on", "true", "yes", "1"})
_FALSE = frozenset({"off", "false", "no", "0"})
_STANDARD_TAGS = frozenset(Tags.__dataclass_fields__) - {"other"}


class StoredValue(Protocol):
    """What the parser needs of a store's entry: the text, and the revision for compare-and-swap."""

    @property
    def value(self) -> str:
        """The stored text."""

    @property
    def revision(self) -> int:
        """The store's version number of this key."""


# --- keys -----------------------------------------------------------------------------------------


def member_key(name: str) -> str:
    """The key of a member's document."""
    return MEMBERS + name


# --- reading --------------------------------------------------------------------------------------


def parse_cluster(entries: Mapping[str, StoredValue]) -> Cluster:
    """The engine's view of all keys below the base path; never raises, whatever they hold."""
    leader, founder = entries.get(LEADER), entries.get(FOUNDER)
    initialize = entries.get(INITIALIZE)
    optime, slots, retain_slots = _parse_status(entries)
    return Cluster(
        initialize=_stored_text(entries, INITIALIZE),
        initialize_revision=initialize.revision if initialize is not None else 0,
        founder=_stored_text(entries, FOUNDER) or None,
        founder_revision=founder.revision if founder is not None else 0,
        leader=_stored_text(entries, LEADER) or None,
        leader_revision=leader.revision if leader is not None else 0,
        members=parse_members(entries),
        config_present=CONFIG in entries,
        optime=optime,
        slots=slots,
        retain_slots=retain_slots,
        failover=_parse_failover(entries),
        history=_parse_history(entries),
        sync=_parse_sync(entries),
        failsafe=_parse_failsafe(entries),
        failsafe_revision=entries[FAILSAFE].revision if FAILSAFE in entries else 0,
    )


def parse_members(entries: Mapping[str, StoredValue]) -> tuple[Member, ...]:
    """All members, sorted by name."""
    documents = member_documents(entries)
    return tuple(parse_member(name, documents[name]) for name in sorted(documents))


def member_documents(entries: Mapping[str, StoredValue]) -> dict[str, dict[str, Any]]:
    """Member name -> its document as published, with fields that `Member` does not carry."""
    found: dict[str, dict[str, Any]] = {}
    for key, entry in entries.items():
        name = key.removeprefix(MEMBERS)
        if key.startswith(MEMBERS) and name and "/" not in name:
            found[name] = _as_object(parse_json(entry.value))
    return found


def told_role(document: Mapping[str, Any]) -> str:
    """What a member calls itself, in today's words: releases of Patroni before 4.0 say `master`."""
    role = text_or_empty(document.get("role"))
    return "primary" if role == "master" else role


def parse_member(name: str, document: Mapping[str, Any]) -> Member:
    """One member from its document; a field of a wrong type counts as absent."""
    host, port = parse_conn_url(document.get("conn_url"))
    return Member(
        name=name,
        host=host,
        port=port,
        api_url=text_or_empty(document.get("api_url")),
        state=text_or_empty(document.get("state")),
        role=told_role(document),
        version=text_or_empty(document.get("version")),
        timeline=_positive(integer(document.get("timeline"))),
        xlog_location=integer(document.get("xlog_location")),
        receive_lsn=integer(document.get("receive_lsn")),
        replay_lsn=integer(document.get("replay_lsn")),
        replication_state=text_or_empty(document.get("replication_state")) or None,
        tags=parse_tags(document.get("tags")),
        pause=boolean(document.get("pause")) is True,
        checkpoint_after_promote=boolean(document.get("checkpoint_after_promote")),
        pending_restart=boolean(document.get("pending_restart")) is True,
    )


def parse_tags(value: object) -> Tags:
    """Tags from a member's document or a node's configuration; booleans in every spelling.

    `nofailover: false` said outright beats a failover_priority of 0 (and `nosync` a sync_priority).
    """
    tags = _as_object(value)
    if not tags:
        return Tags()
    return Tags(
        nofailover=boolean(tags.get("nofailover")) is True,
        noloadbalance=boolean(tags.get("noloadbalance")) is True,
        nosync=boolean(tags.get("nosync")) is True,
        clonefrom=boolean(tags.get("clonefrom")) is True,
        nostream=boolean(tags.get("nostream")) is True,
        replicatefrom=text_or_empty(tags.get("replicatefrom")) or None,
        failover_priority=_priority(tags.get("failover_priority"), tags.get("nofailover")),
        sync_priority=_priority(tags.get("sync_priority"), tags.get("nosync")),
        other={
            key: _tag_text(tags[key])
            for key in sorted(tags)
            if key not in _STANDARD_TAGS and tags[key] is not None
        },
    )


def parse_conn_url(value: object) -> tuple[str, int]:
    """Host and port of `postgres://host:port/database`; ("", 5432) when it cannot be read."""
    try:
        parts = urlsplit(text_or_empty(value))
        return parts.hostname or "", parts.port or 5432
    except ValueError:
        return "", 5432


def dynamic_config(
    entries: Mapping[str, StoredValue],
) -> tuple[Mapping[str, Any] | None, int]:
    """The dynamic configuration and its revision.

    (None, 0): no such key.  (None, revision): the key holds no JSON object, so the reader keeps
    the last configuration that it understood.
    """
    entry = entries.get(CONFIG)
    if entry is None:
        return None, 0
    value = parse_json(entry.value)
    return (value if isinstance(value, dict) else None), entry.revision


def history_rows(entries: Mapping[str, StoredValue]) -> list[list[Any]]:
    """The `history` array as stored, rows that are arrays only; [] when absent or unreadable."""
    rows = parse_json(entries[HISTORY].value) if HISTORY in entries else None
    return [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else []


def _parse_status(
    entries: Mapping[str, StoredValue],
) -> tuple[int | None, Mapping[str, int], tuple[str, ...]]:
    """`status` as an object or as the bare integer of old writers, else `optime/leader`."""
    if STATUS not in entries:
        return integer(_stored_text(entries, OPTIME_LEADER)), {}, ()
    value = parse_json(entries[STATUS].value)
    if not isinstance(value, dict):
        return integer(value), {}, ()
    kept = value.get("retain_slots")
    retain = tuple(
        sorted({n for n in kept if isinstance(n, str)} if isinstance(kept, list) else ())
    )
    return integer(value.get("optime")), slot_positions(value.get("slots")), retain


def slot_positions(value: object) -> dict[str, int]:
    """Slot names with their LSNs, in the order of the names; what is none is left out."""
    found = {name: integer(raw) for name, raw in sorted(_as_object(value).items())}
    return {name: lsn for name, lsn in found.items() if lsn is not None}


def _parse_failover(entries: Mapping[str, StoredValue]) -> FailoverRequest | None:
    """`failover` as an object, or in the ancient form `from:to`; None when it asks nothing."""
    entry = entries.get(FAILOVER)
    if entry is None:
        return None
    value = parse_json(entry.value)
    if isinstance(value, dict):
        leader = text_or_empty(value.get("leader"))
        candidate = text_or_empty(value.get("member")) or text_or_empty(value.get("candidate"))
        scheduled = value.get("scheduled_at")
    else:
        plain = value if isinstance(value, str) else entry.value
        leader, colon, candidate = plain.strip().partition(":")
        if not colon or any(c in plain for c in '{}[]"/'):
            return None
        scheduled = None
    if not leader and not candidate:
        return None
    epoch = None
    if scheduled not in (None, ""):
        parsed = epoch_from_iso(scheduled)
        epoch = UNREADABLE_TIME_EPOCH if parsed is None else parsed
    return FailoverRequest(leader or None, candidate or None, epoch, entry.revision)


def _parse_history(entries: Mapping[str, StoredValue]) -> tuple[HistoryLine, ...] | None:
    """None when the key is absent or unreadable: the cluster's timeline is then unknown."""
    if HISTORY not in entries or not isinstance(parse_json(entries[HISTORY].value), list):
        return None
    lines = []
    for row in history_rows(entries):
        timeline = _positive(integer(row[0])) if len(row) >= 3 else None
        lsn = integer(row[1]) if len(row) >= 3 else None
        if timeline is not None and lsn is not None:
            texts = [text_or_empty(item) for item in row[2:5]] + ["", ""]
            lines.append(HistoryLine(timeline, lsn, *texts[:3]))
    return tuple(lines)


def _parse_sync(entries: Mapping[str, StoredValue]) -> SyncState | None:
    """An unreadable `sync` is an empty one with its revision, so that it can be replaced."""
    entry = entries.get(SYNC)
    if entry is None:
        return None
    value = _as_object(parse_json(entry.value))
    standbys = value.get("sync_standby")
    names = standbys.split(",") if isinstance(standbys, str) else standbys
    listed = [n.strip() for n in names if isinstance(n, str)] if isinstance(names, list) else []
    return SyncState(
        leader=text_or_empty(value.get("leader")),
        standbys=tuple(sorted({name for name in listed if name})),
        quorum=max(integer(value.get("quorum")) or 0, 0),
        revision=entry.revision,
    )


def _parse_failsafe(entries: Mapping[str, StoredValue]) -> Mapping[str, str] | None:
    value = parse_json(entries[FAILSAFE].value) if FAILSAFE in entries else None
    if not isinstance(value, dict):
        return None
    return {name: url for name, url in sorted(value.items()) if isinstance(url, str)}


# --- single values --------------------------------------------------------------------------------


def parse_json(text: str) -> Any:
    """The value of a JSON text; None when it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def boolean(value: object) -> bool | None:
    """True or False in every accepted spelling (on/off, true/false, yes/no, 1/0); else None."""
    word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def integer(value: object) -> int | None:
    """A whole number that is not negative, also written as text; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) and value >= 0 else None
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 40 else None
    return value if isinstance(value, int) and value >= 0 else None


def text_or_empty(value: object) -> str:
    """The text, safe to encode again; "" for anything that is no text."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def epoch_from_iso(value: object) -> float | None:
    """Seconds since 1970 of an ISO 8601 time with a zone; None without a zone or unreadable."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            return None
        return moment.astimezone(UTC).timestamp()  # one that `iso_from_epoch` can write again
    except (ValueError, OverflowError):
        return None


def iso_from_epoch(epoch_seconds: float) -> str:
    """The ISO 8601 time in UTC with its zone."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat()


def _as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _positive(value: int | None) -> int | None:
    return value if value is not None and value > 0 else None


def _priority(value: object, forbidden: object) -> int:
    """A priority tag; zero or less means "never", unless that was denied outright."""
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else 1
    except ValueError:
        return 1
    return 1 if number <= 0 and boolean(forbidden) is False else number


def _tag_text(value: object) -> str:
    """How a tag is compared in `tag_<key>=<value>`: text as it is, the rest as lower-case text."""
    return text_or_empty(value) if isinstance(value, str) else str(value).lower()


def _stored_text(entries: Mapping[str, StoredValue], key: str) -> str | None:
    return text_or_empty(entries[key].value).strip() if key in entries else None


# --- writing --------------------------------------------------------------------------------------


def compact(value: object) -> str:
    """JSON without spaces, as everything in the store is written."""
    return json.dumps(value, separators=(",", ":"), default=dict)


def member_text(document: Mapping[str, Any]) -> str:
    """The text of `members/<name>`."""
    return compact(dict(document))


def failover_text(leader: str | None, candidate: str | None, scheduled_iso: str | None) -> str:
    """The text of `failover`; nothing asked is `{}`."""
    wanted = {"leader": leader, "member": candidate, "scheduled_at": scheduled_iso}
    return compact({key: value for key, value in wanted.items() if value})


def status_text(optime: int, slots: Mapping[str, int], retain_slots: Iterable[str]) -> str:
    """The text of `status`; empty parts are left out."""
    document: dict[str, Any] = {"optime": optime}
    if slots:
        document["slots"] = dict(slots)
    if kept := sorted(retain_slots):
        document["retain_slots"] = kept
    return compact(document)


def history_text(lines: Iterable[HistoryLine]) -> str:
    """The text of `history`; a row ends before its first unknown trailing item."""
    rows: list[list[Any]] = []
    for line in lines:
        row: list[Any] = [line.timeline, line.lsn, line.reason]
        if line.timestamp or line.new_leader:
            row.append(line.timestamp)
        if line.new_leader:
            row.append(line.new_leader)
        rows.append(row)
    return compact(rows)


def sync_text(leader: str | None, standbys: Iterable[str], quorum: int = 0) -> str:
    """The text of `sync`; no standby is null."""
    names = ",".join(sorted(standbys))
    return compact({"leader": leader, "quorum": quorum, "sync_standby": names or None})


def failsafe_text(api_urls: Mapping[str, str]) -> str:
    """The text of `failsafe`: member name -> api_url."""
    return compact({name: api_urls[name] for name in sorted(api_urls)})
