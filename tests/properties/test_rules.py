"""The rules as data: each can fire, none of its facts is idle, and all are well told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from engine.decide import RULES, TABLES
from engine.rule import Fact, Rule, Table
from engine.state import Snapshot
from tests.support.scenarios import all_scenarios
from tests.support.variations import VARIATIONS, vary

# Facts that another fact, or the rules above, imply.  They stay because a rule is read aloud: by
# whom the lock is owned, or what was asked, should not have to be worked out from the others.
IMPLIED: dict[str, tuple[str, ...]] = {
    "not i_own_the_lock": ("write.refused",),
    "lease_is_known": ("fence.arm",),
    "restarting": ("request.restart_done", "request.restart_failed", "request.restart_slow"),
    "restart_is_requested": ("request.restart_skipped",),
    "reinitialize_is_requested": (
        *("request.reinit_leader", "request.reinit_primary", "request.reinit_no_leader"),
        *("request.reinit_busy", "request.reinitialize"),
    ),
    "store_answers": ("down.replica_without_cluster",),
    "another_owns_the_lock": (
        *("down.ask_leader", "down.wait_for_promotion", "down.wait_for_address"),
        *("down.wait_for_checkpoint", "down.rewind", "down.remove_diverged", "down.diverged"),
    ),
    "handover_is_to_another": ("race.give_way_to_named",),
    "runs_as_primary": ("files.checkpoint",),
}


def neighbours(table: Table, rule: Rule) -> Iterator[Snapshot]:
    """The rule's scenarios, then the table's, each with one change."""
    own = [x.snapshot for x in all_scenarios() if x.rule == rule.name]
    others = [x.snapshot for x in all_scenarios() if x.path.stem == table.name]
    for s in (*own, *others):
        for variation in VARIATIONS:
            yield vary(s, variation)


def missed(table: Table, rule: Rule, s: Snapshot) -> str | None:
    """The one fact but for which `rule` would decide here; None if there is no such fact."""
    failing = [fact for fact in rule.when if not fact.holds(s)]
    if len(failing) != 1 or not _all(table.applies, s):
        return None
    above = table.rules[: table.rules.index(rule)]
    return None if any(_all(other.when, s) for other in above) else failing[0].name


def _all(facts: tuple[Fact, ...], s: Snapshot) -> bool:
    return all(fact.holds(s) for fact in facts)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_no_fact_can_be_dropped(table: Table) -> None:
    """For each fact of each rule some snapshot is decided otherwise because of that fact alone."""
    idle: set[tuple[str, str]] = set()
    for rule in table.rules:
        wanted = {fact.name for fact in rule.when}
        for s in neighbours(table, rule):
            if not wanted:
                break
            wanted.discard(missed(table, rule, s) or "")
        idle |= {(rule.name, name) for name in wanted}
    implied = {(rule, fact) for fact, rules in IMPLIED.items() for rule in rules}
    assert idle == {pair for pair in implied if pair[0].startswith(f"{table.name}.")}


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_tables_and_rules_are_told_in_sentences(table: Table) -> None:
    """A table asks a question, a rule has a title and a reason, a fact says what it asks."""
    assert table.question.endswith("?")
    for rule in table.rules:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", rule.name)
        assert rule.title
        assert not rule.title.endswith(".")
        assert rule.why.endswith("."), rule.name
        assert len({fact.name for fact in rule.when}) == len(rule.when), rule.name
    for fact in (*table.applies, *(fact for rule in table.rules for fact in rule.when)):
        assert fact.doc.strip().split("\n")[0].endswith((".", ":")), fact.name


def test_facts_have_one_meaning() -> None:
    """No two facts share a name."""
    seen: dict[str, str] = {}
    for rule in RULES.values():
        for fact in rule.when:
            assert seen.setdefault(fact.name.removeprefix("not "), fact.doc) == fact.doc
