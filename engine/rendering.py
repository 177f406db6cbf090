"""A decision in words: for log lines, `hae explain`, scenario files and the REST answers.

Here belongs the wording only.  Nothing decides here, and no text says what the trace does not.
"""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, get_args

from engine import actions as a
from engine.actions import Action
from engine.decide import RULES, TABLES, Decision, Step
from engine.rule import Fact, Rule, Table, nothing
from engine.state import Snapshot
from engine.timelines import lsn_text

MAX_CHANGES = 8
MAX_CHANGES_OF_A_TABLE = 4

# Rules that only say that all is well; left out of a log line that has something else to tell.
_CALM = frozenset({"primary.leads", "remote.leads", "standby.follows", "orphan.no"})
# What is done every loop, whatever happens: not the heart of a decision.
_BOOKKEEPING = (
    *(a.Remember, a.PublishMember, a.WriteStatus, a.RenewLock, a.Report, a.ArmFence),
    *(a.CreateSlots, a.AdvanceSlots, a.RunCallback, a.FeedWatchdog),
)

# What even a steady cluster does in every loop.
_ROUTINE = (
    *(a.RenewLock, a.ArmFence, a.FeedWatchdog, a.PublishMember, a.WriteStatus),
    *(a.AdvanceSlots, a.Remember),
)


def _source(upstream: a.Upstream | None) -> str:
    if upstream is None:
        return "nobody"
    at = upstream.address
    return at if upstream.name == at else f"{upstream.name} ({at})"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_plain(value[k])}" for k in sorted(value)) + "}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _memory(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_plain(changes[name])}" for name in sorted(changes))


def _publish(document: Mapping[str, Any]) -> str:
    return f"publish the member key: {document.get('role')}, {document.get('state')}"


def _positions(positions: Mapping[str, int]) -> str:
    return ", ".join(f"{name} to {lsn_text(positions[name])}" for name in sorted(positions))


def _release(x: a.ReleaseLock) -> str:
    end = "" if x.final_lsn is None else f", our WAL ends at {lsn_text(x.final_lsn)}"
    return f"release the leader lock: {x.why}{end}"


def _stop(x: a.StopPostgres) -> str:
    how = f"{x.mode}, after a checkpoint" if x.checkpoint_first else x.mode
    how += ", then archive the last segment" if x.archive_last else ""
    return f"stop PostgreSQL ({how}): {x.why}"


def _start(x: a.StartPostgres) -> str:
    of = f" of {_source(x.upstream)}" if x.role == "standby" else ""
    return f"start PostgreSQL as {x.role}{of}, within {x.timeout_seconds:g}s"


def _arm(x: a.ArmFence) -> str:
    whom = f"process {x.pid}" if x.pid else "whatever runs in the data directory"
    lease = "the lease ends" if x.asked_ends_at is None else "the end of the lease asked for next"
    return f"arm the fence for {whom}, {x.before_end_seconds:.1f}s before {lease}"


def _ask_failsafe(x: a.AskFailsafe) -> str:
    names = ", ".join(sorted(x.members))
    return f"ask {names} to let us go on for {x.ttl_seconds:g}s, within {x.timeout_seconds:.1f}s"


def _write_failsafe(x: a.WriteFailsafe) -> str:
    names = ", ".join(sorted(x.members))
    return f"write the failsafe key: {names}" if names else "delete the failsafe key"


def _write_history(x: a.WriteHistory) -> str:
    return f"write the history: {len(x.lines)} finished timelines"


def _write_sync(x: a.WriteSync) -> str:
    voters = f"quorum {x.quorum} of" if x.quorum else "standbys"
    return f"write the sync key: leader {x.leader}, {voters} {', '.join(x.standbys) or 'none'}"


def _set_names(x: a.SetSyncNames) -> str:
    return (
        "leave synchronous_standby_names to the operator"
        if x.text is None
        else (f"set synchronous_standby_names to '{x.text}'")
    )


def _hold(x: a.Hold) -> str:
    return f"wait for {x.waiting_for}"


_TEXTS: dict[type, Callable[[Any], str]] = {
    a.AcquireLock: lambda _: "acquire the leader lock",
    a.RenewLock: lambda _: "renew the leader lock",
    a.ReleaseLock: _release,
    a.PublishMember: lambda x: _publish(x.document),
    a.WithdrawMember: lambda _: "delete the member key",
    a.ClaimFounding: lambda _: "claim the right to found the cluster",
    a.DropFounder: lambda _: "drop the claim of a founder that is gone",
    a.CreateInitialize: lambda x: f"create the initialize key ({x.system_identifier or 'empty'})",
    a.WriteInitialize: lambda x: f"write the initialize key ({x.system_identifier})",
    a.DeleteInitialize: lambda _: "delete the initialize key",
    a.WriteConfig: lambda _: "write the dynamic configuration",
    a.WriteStatus: lambda x: f"write the status: position {lsn_text(x.optime)}",
    a.WriteHistory: _write_history,
    a.WriteFailsafe: _write_failsafe,
    a.WriteSync: _write_sync,
    a.DeleteSync: lambda _: "delete the sync key",
    a.ClearFailover: lambda x: f"delete the failover key: {x.why}",
    a.RunInitdb: lambda _: "run initdb",
    a.CreateRoles: lambda _: "create the cluster's roles",
    a.Clone: lambda x: f"clone {_source(x.source)}",
    a.StartPostgres: _start,
    a.StopPostgres: _stop,
    a.Promote: lambda x: f"promote, within {x.timeout_seconds:g}s",
    a.RecoverFromCrash: lambda _: "run crash recovery in single-user mode",
    a.Rewind: lambda x: f"pg_rewind to {_source(x.source)}",
    a.RunCheckpoint: lambda _: "checkpoint in the background",
    a.RemoveDataDirectory: lambda x: f"empty the data directory, allowed by: {x.permission}",
    a.MoveDataDirectory: lambda _: "set the data directory aside",
    a.Follow: lambda x: f"follow {_source(x.upstream)}",
    a.ApplyConfiguration: lambda x: f"write the configuration {x.digest[:8]} and reload",
    a.SetSyncNames: _set_names,
    a.ReadConfiguration: lambda _: "read the node file again",
    a.CreateSlots: lambda x: f"create slots: {', '.join(x.names)}",
    a.CreateLogicalSlots: lambda x: (
        "create logical slots: " + ", ".join(f"{p.name} in {p.database}" for p in x.wanted)
    ),
    a.CopySlots: lambda x: (
        f"copy the logical slots {', '.join(x.names)} of {_source(x.source)}, and stop"
    ),
    a.DropSlots: lambda x: f"drop slots: {', '.join(x.names)}",
    a.AdvanceSlots: lambda x: f"advance slots: {_positions(x.positions)}",
    a.ArmFence: _arm,
    a.DisarmFence: lambda _: "disarm the fence",
    a.ActivateWatchdog: lambda x: f"let the watchdog count from {x.timeout_seconds:g}s",
    a.FeedWatchdog: lambda _: "feed the watchdog",
    a.CloseWatchdog: lambda _: "close the watchdog",
    a.AskPeers: lambda x: f"ask {', '.join(x.members) or 'nobody'} for role and position",
    a.AskFailsafe: _ask_failsafe,
    a.AskLeader: lambda x: f"ask {_source(x.leader)} for its timeline",
    a.AskSlots: lambda x: (
        f"ask {_source(x.leader)} about logical slots: {', '.join(x.names) or 'none'}"
    ),
    a.RunCallback: lambda x: f"run the callback {x.action} for {x.role}",
    a.Answer: lambda x: f"answer request {x.request_id}: {x.status} {x.text}",
    a.Remember: lambda x: f"remember {_memory(x.changes)}",
    a.Report: lambda x: f"{x.level}: {x.text}",
    a.Hold: _hold,
    a.Exit: lambda x: f"end the daemon with exit code {x.code}: {x.why}",
}
assert set(_TEXTS) == set(get_args(Action)), "every action needs its words"


def action_text(action: Action) -> str:
    """One action in words, on one line."""
    return _TEXTS[type(action)](action)


def shares(snapshot: Snapshot, fired: tuple[str, ...]) -> list[tuple[str, tuple[Action, ...]]]:
    """Each rule that fired with the actions that it gave; names of no rule of today are left out.

    The actions are worked out anew: they are a pure function of the snapshot.
    """
    return [(name, tuple(RULES[name].then(snapshot))) for name in fired if name in RULES]


# --- one line -------------------------------------------------------------------------------------


def _is_boring(name: str) -> bool:
    rule = RULES.get(name)
    return rule is not None and rule.then is nothing


def render_short(decision: Decision) -> str:
    """One line for the log: the rules that act, then what they do; what is as ever is left out."""
    acting = [action for action in decision.actions if not isinstance(action, a.Hold)]
    names = [name for name in decision.fired if not _is_boring(name)]
    if acting:
        names = [name for name in names if name not in _CALM]
    told = [action_text(x) for x in decision.actions if not (acting and _is_calm(x))]
    return f"{' '.join(names) or 'nothing'}: {'; '.join(told) or 'nothing to do'}"


def _is_calm(action: Action) -> bool:
    return isinstance(action, a.Hold) and action.waiting_for == "a change"


def is_routine(decision: Decision) -> bool:
    """Whether the decision only keeps up what is, and waits for nothing but a job or a change."""
    return all(isinstance(x, _ROUTINE) or _is_patience(x) for x in decision.actions)


def _is_patience(action: Action) -> bool:
    if not isinstance(action, a.Hold):
        return False
    return action.waiting_for == "a change" or action.waiting_for.endswith(" to end")


# --- the whole story ------------------------------------------------------------------------------


def render(snapshot: Snapshot, decision: Decision) -> str:
    """The whole decision (from `explain`) as lines of text: every table, then the actions."""
    lines = [f"in short: {render_short(decision)}", ""]
    given = dict(shares(snapshot, decision.fired))
    passed: list[str] = []
    for table, steps in groupby(decision.trace, lambda step: step.table):
        *above, last = steps
        if not last.rule:
            passed.append(f"  {table}: {_seen(last.seen[-1])}")
        else:
            lines += [*_table_lines(above, last, given.get(last.rule, ())), ""]
    if passed:
        lines += ["passed over:", *passed, ""]
    lines.append("actions, in this order:")
    lines += [f"  {n}. {action_text(x)}" for n, x in enumerate(decision.actions, 1)]
    if not decision.actions:
        lines.append("  none")
    return "\n".join(lines)


def _table_lines(above: list[Step], fired: Step, given: tuple[Action, ...]) -> list[str]:
    lines = [f"{fired.rule}: {fired.title}", f"  why: {fired.why}"]
    lines += [f"  because {_seen(seen)}" for seen in fired.seen]
    lines += [f"  does: {action_text(action)}" for action in given]
    if above:
        lines.append("  ruled out above it:")
        lines += [f"    {step.rule}: {_seen(step.seen[-1])}" for step in above]
    return lines


def _seen(seen: tuple[str, bool, str]) -> str:
    name, held, shown = seen
    if not held:
        name = name.removeprefix("not ") if name.startswith("not ") else f"not {name}"
    return f"{name} ({shown})"


# --- another outcome ------------------------------------------------------------------------------


def what_would_change(snapshot: Snapshot, decision: Decision) -> list[str]:
    """Sentences that name the single facts which, if they were otherwise, would change a rule.

    At most eight, in the order of the tables; only for tables whose rule shaped the decision.
    """
    fired = {name.partition(".")[0]: name for name in decision.fired if name in RULES}
    given = dict(shares(snapshot, tuple(fired.values())))
    lines: list[str] = []
    for table in TABLES:
        name = fired.get(table.name)
        if name is None or not _shapes(given[name]):
            continue
        lines += _changes(snapshot, table, RULES[name])[:MAX_CHANGES_OF_A_TABLE]
    return lines[:MAX_CHANGES]


def _shapes(actions: tuple[Action, ...]) -> bool:
    """Whether a rule's actions are more than bookkeeping."""
    return any(not isinstance(action, _BOOKKEEPING) for action in actions)


def _changes(s: Snapshot, table: Table, fired: Rule) -> list[str]:
    """The outcomes of this table with one fact turned round: first the facts of the rule itself."""
    asked: dict[str, Fact] = {}
    for rule in (fired, *reversed(table.rules[: table.rules.index(fired)])):
        for fact in rule.when:
            asked.setdefault(_base(fact), fact)
    lines, reached = [], {fired.name}
    for base, fact in asked.items():
        other = _first_match(s, table, base)
        if other.name in reached:
            continue
        reached.add(other.name)
        held = fact.holds(s) != fact.name.startswith("not ")
        verb = "were no longer true" if held else "were true"
        lines.append(f"{other.name} would be reached if {base} {verb} ({fact.shows(s)})")
    return lines


def _base(fact: Fact) -> str:
    return fact.name.removeprefix("not ")


def _first_match(s: Snapshot, table: Table, turned: str) -> Rule:
    """The rule that would fire if the fact `turned` were the other way round."""
    for rule in table.rules[:-1]:
        if all(fact.holds(s) != (_base(fact) == turned) for fact in rule.when):
            return rule
    return table.rules[-1]
