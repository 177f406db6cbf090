"""The decision: the order of the tables, and the runner that goes through them.

`decide()` is a pure, total function of the snapshot.  Tables are run in the order below, safety
first.  In a table the first rule whose facts all hold gives the actions; a rule that `ends` the
cycle leaves the tables below it for the next one.  `explain()` reads the tables as they are
written; `run()` goes through their trees (`engine/trees.py`), which is the same and much faster.
"""

from dataclasses import dataclass

from engine.actions import Action
from engine.facts.lease import store_answers
from engine.facts.postgres import a_job_runs, postmaster_runs, server_is_silent
from engine.facts.work import daemon_is_stopping
from engine.rule import Fact, Rule, Table
from engine.state import Snapshot
from engine.tables.directory import DIRECTORY
from engine.tables.down import DOWN
from engine.tables.failsafe import CONSENT, FAILSAFE
from engine.tables.identity import IDENTITY
from engine.tables.leave import JOB, SILENT, STOP
from engine.tables.lock import LOCK
from engine.tables.note import NOTE
from engine.tables.orphan import ORPHAN
from engine.tables.primary import PRIMARY
from engine.tables.race import RACE
from engine.tables.remote import ADRIFT, REMOTE
from engine.tables.requests import REQUEST
from engine.tables.safety import FENCE, LEASE, TRUCE, WRITE
from engine.tables.slots import ADVANCE, BUDGET, SLOTS
from engine.tables.standby import STANDBY
from engine.tables.sync import SYNC
from engine.tables.upkeep import CALLBACKS, FILES, LEADER, PUBLISH
from engine.tables.watchdog import WATCHDOG
from engine.trees import Tree, tree_of_all

TABLES: tuple[Table, ...] = (
    LEASE,
    TRUCE,
    WRITE,
    CONSENT,
    FAILSAFE,
    NOTE,
    LOCK,
    FENCE,
    WATCHDOG,
    STOP,
    IDENTITY,
    REQUEST,
    JOB,
    SILENT,
    DIRECTORY,
    DOWN,
    PRIMARY,
    REMOTE,
    STANDBY,
    ORPHAN,
    RACE,
    ADRIFT,
    SYNC,
    FILES,
    CALLBACKS,
    SLOTS,
    ADVANCE,
    BUDGET,
    LEADER,
    PUBLISH,
)

# What most tables ask and what holds of almost every snapshot.
USUAL = (~daemon_is_stopping, ~a_job_runs, postmaster_runs, store_answers, ~server_is_silent)
TREES: Tree = tree_of_all(TABLES, USUAL)

RULES: dict[str, Rule] = {rule.name: rule for table in TABLES for rule in table.rules}
assert len(RULES) == sum(len(table.rules) for table in TABLES), "rule names must be unique"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule as it was tried: what each of its facts saw, up to the first that did not hold.

    `rule` is empty for a table that was passed over; `seen` then shows its `applies` facts.
    """

    table: str
    rule: str
    title: str
    why: str
    fired: bool
    seen: tuple[tuple[str, bool, str], ...]  # (fact, whether it held, what it looked at)


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions in order, the rules that gave them, and (when asked for) how it came about."""

    actions: tuple[Action, ...]
    fired: tuple[str, ...]
    trace: tuple[Step, ...] = ()


def run(s: Snapshot) -> Decision:
    """Decide without a trace: the fast path of every cycle."""
    actions: list[Action] = []
    fired: list[str] = []
    asks, yes, no = TREES
    while asks is not None:
        asks, yes, no = yes if asks(s) else no
    for tree in yes:
        asks, yes, no = tree
        while asks is not None:
            asks, yes, no = yes if asks(s) else no
        rule: Rule | None = yes
        if rule is not None:
            fired.append(rule.name)
            actions.extend(rule.then(s))
            if rule.ends:
                break
    return Decision(tuple(actions), tuple(fired))


def decide(snapshot: Snapshot) -> list[Action]:
    """What this node does now."""
    return list(run(snapshot).actions)


def explain(s: Snapshot) -> Decision:
    """The same decision with its trace: every rule tried, and what each fact saw."""
    decided = run(s)
    trace: list[Step] = []
    for table in TABLES:
        seen, held = _look(table.applies, s)
        if not held:
            trace.append(Step(table.name, "", table.question, "", False, seen))
            continue
        for rule in table.rules:  # pragma: no branch - the last rule has no conditions
            seen, held = _look(rule.when, s)
            trace.append(Step(table.name, rule.name, rule.title, rule.why, held, seen))
            if held:
                break
        if rule.ends:
            break
    return Decision(decided.actions, decided.fired, tuple(trace))


def _look(facts: tuple[Fact, ...], s: Snapshot) -> tuple[tuple[tuple[str, bool, str], ...], bool]:
    seen = []
    for f in facts:
        held = f.holds(s)
        seen.append((f.name, held, f.shows(s)))
        if not held:
            return tuple(seen), False
    return tuple(seen), True
