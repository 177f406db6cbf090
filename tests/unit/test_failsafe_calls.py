"""What the answers of members mean to a primary that asks to go on without the store."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from engine.actions import Answer, AskFailsafe
from engine.rule import Rule
from engine.state import FailsafeAnswer
from engine.tables.failsafe import CONSENT
from proof import checker
from shell.failsafe import FailsafeCalls
from tests.support.guards import URLS
from tests.support.scenes import scene
from tests.support.wait import wait_for


def heard(status: int, text: str, lsn: str = "") -> FailsafeAnswer:
    """What is kept of that answer of n2."""
    peers: Any = MagicMock()
    peers.post.return_value = (status, text, {"lsn": lsn} if lsn else {})
    calls = FailsafeCalls(peers, lambda _: None)
    try:
        calls.ask(AskFailsafe({"n2": URLS["n2"]}, 30.0, 5.0, {}), {"name": "n1"})
        wait_for(lambda: bool(calls.answers), 20, "the answer")
        return calls.answers[0]
    finally:
        calls.close()


@pytest.mark.parametrize("rule", CONSENT.rules, ids=lambda rule: rule.name)
def test_a_member_that_says_that_it_leads_is_believed(rule: Rule) -> None:
    """In the words of the rules, of which these two say so."""
    (said,) = checker.of(Answer, rule.then(scene("asked", {})))
    answer = heard(said.status, said.text)
    assert answer.leads is (rule.name in {"consent.writable", "consent.leads"})
    assert answer.agreed is (rule.name == "consent.given")


def test_a_patroni_that_leads_is_believed() -> None:
    """In the words of Patroni's `update_failsafe`."""
    answer = heard(500, "Running as a leader")
    assert (answer.leads, answer.agreed) == (True, False)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, "internal error; the log of this node says more"),
        (500, "<html><h1>500 Internal Server Error</h1></html>"),
        (500, ""),
        (500, "Accepted"),
        (503, "n3 owns the leader lock"),
        (502, "failsafe mode is not enabled"),
        (403, "Access is denied"),
    ],
)
def test_any_other_refusal_says_nothing_about_who_leads(status: int, text: str) -> None:
    """A member that is broken ends nobody's lease; it has not agreed either."""
    answer = heard(status, text)
    assert (answer.leads, answer.agreed) == (False, False)
    assert answer.why == f"{status} {text}"


def test_a_member_that_agrees_tells_its_position() -> None:
    """The header is read too."""
    answer = heard(200, "Accepted", lsn="50331648")
    assert (answer.leads, answer.agreed, answer.lsn, answer.why) == (False, True, 50331648, "")
