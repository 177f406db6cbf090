"""`hae replay`: recorded snapshots through today's rules, and what would come out differently."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ctl import options, records
from ctl.context import refuse
from ctl.records import Recorded
from engine.actions import Action
from engine.decide import Decision, explain
from engine.rendering import action_text
from shell.recorder.codec import DecodeError, encode


@dataclass(frozen=True, slots=True)
class Difference:
    """A recorded decision that today's rules would not repeat."""

    record: Recorded
    decision: Decision


@dataclass(slots=True)
class Replayed:
    """What a replay found; `unreadable` holds a time and a reason for each."""

    same: int = 0
    differences: list[Difference] = field(default_factory=list)
    unreadable: list[tuple[float, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All records that were looked at."""
        return self.same + len(self.differences) + len(self.unreadable)


@click.command(
    epilog=options.epilog(
        "hae replay /var/lib/hae/records", "hae replay incident.jsonl --format json"
    )
)
@click.argument("record", type=click.Path(path_type=Path))
@options.text_or_json
def replay(*, record: Path, form: str) -> None:
    """Run recorded snapshots through the rules of this version.

    RECORD is a file or folder of the flight recorder.  Exit code 0: every decision is the same;
    1: some are not, or cannot be read.
    """
    found = replay_records(record)
    if not found.total:
        refuse(f"{record} has no recorded decision")
    click.echo(_as_json(found) if form == "json" else _as_text(found))
    if found.differences or found.unreadable:
        click.get_current_context().exit(1)


def replay_records(path: Path) -> Replayed:
    """Decide every record of a file or folder again."""
    found = Replayed()
    for line in records.lines(path):
        try:
            record = records.parse_record(line)
        except DecodeError as error:
            found.unreadable.append((float(line["wall"]), str(error)))
            continue
        decision = explain(record.snapshot)
        if (decision.fired, decision.actions) == (record.fired, record.actions):
            found.same += 1
        else:
            found.differences.append(Difference(record, decision))
    return found


# --- text -----------------------------------------------------------------------------------------


def _as_text(found: Replayed) -> str:
    parts = []
    for difference in found.differences:
        parts += [*_difference_lines(difference), ""]
    for wall, why in found.unreadable:
        parts += [f"{records.local_time(wall)}  cannot be read by this version: {why}", ""]
    parts.append(
        f"{found.total} decisions replayed: {found.same} the same,"
        f" {len(found.differences)} different, {len(found.unreadable)} unreadable"
    )
    return "\n".join(parts)


def _difference_lines(difference: Difference) -> list[str]:
    """The rules of each table where the two differ, then the actions that came or went."""
    record, decision = difference.record, difference.decision
    lines = [f"{records.local_time(record.wall)}  {record.snapshot.me.name}"]
    then, now = _by_table(record.fired), _by_table(decision.fired)
    for table in [*then, *(name for name in now if name not in then)]:
        if then.get(table) == now.get(table):
            continue
        lines.append(
            f"  {table}: recorded {then.get(table, 'nothing')}, now {now.get(table, 'nothing')}"
        )
        lines += _why_lines(decision, table, then.get(table))
    for sign, action in _action_changes(record.actions, decision.actions):
        lines.append(f"  {sign} {action}")
    return lines


def _why_lines(decision: Decision, table: str, recorded: str | None) -> list[str]:
    """What today's facts say about the rule that fired then, and about the one that fires now."""
    lines = []
    for step in decision.trace:
        if step.table != table or not (step.fired or step.rule in ("", recorded)):
            continue
        verdict = "fires" if step.fired else "does not apply"
        seen = "; ".join(
            f"{name} {'holds' if holds else 'does not hold'} ({text})" if text else name
            for name, holds, text in step.seen
        )
        lines.append(f"      {step.rule or table} {verdict}: {seen or 'no conditions'}")
    return lines


def _by_table(fired: tuple[str, ...]) -> dict[str, str]:
    return {name.partition(".")[0]: name for name in fired}


def _action_changes(then: tuple[Action, ...], now: tuple[Action, ...]) -> list[tuple[str, str]]:
    changes = [("-", action_text(action)) for action in then if action not in now]
    changes += [("+", action_text(action)) for action in now if action not in then]
    if not changes and then != now:
        changes = [("~", "the same actions in another order")]
    return changes


# --- json -----------------------------------------------------------------------------------------


def _as_json(found: Replayed) -> str:
    return json.dumps(
        {
            "replayed": found.total,
            "same": found.same,
            "different": len(found.differences),
            "differences": [_difference_object(item) for item in found.differences],
            "unreadable": [{"wall": wall, "why": why} for wall, why in found.unreadable],
        }
    )


def _difference_object(difference: Difference) -> dict[str, Any]:
    record, decision = difference.record, difference.decision
    return {
        "wall": record.wall,
        "name": record.snapshot.me.name,
        "fired": {"recorded": list(record.fired), "now": list(decision.fired)},
        "actions": {"recorded": encode(record.actions), "now": encode(decision.actions)},
    }
