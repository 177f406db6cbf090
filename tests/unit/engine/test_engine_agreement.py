"""Failsafe mode's arithmetic: whom to ask, when, and how long an agreement counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine import agreement, views
from engine.actions import AskFailsafe, StopPostgres
from engine.decide import decide
from engine.facts.failsafe import failsafe_listing_differs
from engine.state import FailsafeAnswer, Lease
from proof import checker
from tests.support.guards import URLS, agrees, declines
from tests.support.scenes import scene
from tests.support.snapshots import NOW

ALL = (agrees("n2", 2.0), agrees("n3", 1.0))


def test_the_first_that_was_asked_limits_the_certainty() -> None:
    """All agreed: the certainty ends one ttl after the earliest question."""
    s = replace(scene("cut off", {}), failsafe_answers=ALL)
    assert agreement.agreed_until(s) == NOW - 2 + 30


@pytest.mark.parametrize("missing", ["n2", "n3"])
def test_one_that_did_not_agree_is_too_few(missing: str) -> None:
    """An answer that is missing, or is no, gives no certainty at all."""
    s = scene("cut off", {})
    kept = tuple(a for a in ALL if a.name != missing)
    assert agreement.agreed_until(replace(s, failsafe_answers=kept)) is None
    assert agreement.agreed_until(replace(s, failsafe_answers=(*kept, declines(missing)))) is None


@pytest.mark.parametrize(
    ("ttl", "loop", "every"), [(30, 10, 10), (20, 10, 6), (20, 14, 6), (5, 1, 1), (30, 24, 10)]
)
def test_a_renewal_may_be_lost_before_the_members_are_asked(
    ttl: float, loop: float, every: float
) -> None:
    """Whatever loop_wait is, a renewal comes early enough to ask before the fast stop."""
    s = scene("cut off", {})
    policy = replace(s.policy, ttl_seconds=ttl, loop_wait_seconds=loop)
    s = replace(s, policy=policy, lease=Lease(NOW, ttl))
    assert views.renew_every_seconds(s) == every
    asked = agreement.proof_overdue_at(s)
    assert asked is not None
    assert asked + ttl / 10 < NOW + ttl - 2 * views.stop_margin_seconds(s)


@pytest.mark.parametrize(("ttl", "loop", "overdue"), [(30, 10, 11.0), (20, 6, 6.8), (5, 1, 1.5)])
def test_a_renewal_that_takes_a_moment_is_not_overdue(
    ttl: float, loop: float, overdue: float
) -> None:
    """A fifth of the margin, and half a second at least: a slow disk is no outage."""
    s = scene("cut off", {"policy.ttl_seconds": ttl, "policy.loop_wait_seconds": loop})
    found = agreement.proof_overdue_at(replace(s, lease=Lease(NOW, ttl)))
    assert found == pytest.approx(NOW + overdue)


def test_who_is_asked_has_all_the_time_that_is_left() -> None:
    """A slow network may take as long as there is time before the fast stop."""
    s = scene("cut off", {})
    (question,) = checker.of(AskFailsafe, decide(s))
    assert question.timeout_seconds == 30 - 12 - 10
    assert set(question.members) == set(URLS) - {"n1"}


def test_an_agreement_is_void_without_the_lease_that_it_prolonged() -> None:
    """After a renewal, a release or another lease the members' word counts no more."""
    s = scene("cut off", {"memory.failsafe_until": NOW + 18, "memory.failsafe_lease": NOW - 12})
    assert views.lease_ends(s) == NOW + 18
    assert agreement.prolonged_until(s) == NOW + 18
    assert views.lease_ends(replace(s, lease=Lease(NOW - 1, 10))) == NOW + 9
    assert views.lease_ends(replace(s, lease=Lease())) is None
    assert agreement.prolonged_until(replace(s, lease=Lease())) == 0.0


def test_failsafe_mode_is_over_when_the_fast_stop_begins() -> None:
    """The word still counts then, but nothing goes on by it, and the status document says so."""
    s = scene("cut off", {"memory.failsafe_until": NOW + 18, "memory.failsafe_lease": NOW - 12})
    until = agreement.active_until(s)
    assert until == NOW + 18 - 2 * views.stop_margin_seconds(s)
    assert not checker.of(StopPostgres, decide(replace(s, now=until - 0.1)))
    assert checker.of(StopPostgres, decide(replace(s, now=until)))


def test_a_shorter_ttl_shortens_what_is_counted_on() -> None:
    """The members may know the shorter ttl already."""
    s = scene("cut off", {"policy.ttl_seconds": 20})
    assert agreement.promise_seconds(s) == 20


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        (agrees("n3", 5.0), False),
        (agrees("n3", 5.1), True),
        (declines("n3", asked_at=NOW - 1), False),
        (declines("n3", asked_at=NOW - 1.1), True),
    ],
)
def test_who_agreed_is_asked_again_before_the_next_renewal(
    answer: FailsafeAnswer, again: bool
) -> None:
    """After half the time between two renewals, others a second after the last question."""
    s = replace(scene("cut off", {}), failsafe_answers=(agrees("n2", 0.5), answer))
    assert set(agreement.to_ask(s)) == ({"n3"} if again else set())


@pytest.mark.parametrize(
    ("written_over", "named", "certain"),
    [
        (-1, ("n1", "n2"), False),  # nobody has written it in our time
        (7, ("n1", "n2"), False),  # we have asked for that, and the store shows what was there
        (6, ("n1", "n2"), True),
        (6, ("n2", "n3"), False),  # the others would not ask us
    ],
)
def test_a_key_that_a_late_write_may_replace_names_nobody(
    written_over: int, named: tuple[str, ...], certain: bool
) -> None:
    """A write from before our lease replaces the revision that it saw, until ours has."""
    listed = {name: URLS[name] for name in named}
    changes = {"cluster.failsafe": listed, "cluster.failsafe_revision": 7}
    s = scene("primary", changes | {"memory.failsafe_sent_over": written_over})
    assert set(agreement.electorate(s)) == (set(URLS) if certain else set())


@pytest.mark.parametrize(("mode_is_on", "differs"), [(True, False), (False, True)])
def test_whom_the_key_named_is_forgotten_only_with_the_mode(
    mode_is_on: bool, differs: bool
) -> None:
    """A leader that comes back to an empty store writes the key after `initialize`."""
    s = scene("replica", {"memory.failsafe_listed": URLS, "policy.failsafe_mode": mode_is_on})
    assert failsafe_listing_differs.holds(s) is differs
