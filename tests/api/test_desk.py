"""The desk: publications, requests and wake-ups between threads."""

from __future__ import annotations

import threading

from engine.state import Known, RequestKind, Unknown
from shell.desk import MOST_PENDING_REQUESTS, Desk
from tests.api.support import publication
from tests.support import snapshots


def test_latest_publication() -> None:
    """The latest publication is what was published last; readers are told each time."""
    desk, told = Desk(), []
    assert desk.latest() is None
    reader = lambda: told.append(desk.latest())  # noqa: E731
    desk.add_reader(reader)
    first, second = (publication(snapshots.primary(1.0)) for _number in range(2))
    desk.publish(first)
    desk.remove_reader(reader)
    desk.publish(second)
    assert told == [first]
    assert desk.latest() is second


def test_last_view_is_kept() -> None:
    """A view of the store stays available while the store is unknown."""
    desk = Desk()
    seen = Known(snapshots.cluster(), 1.0)
    desk.publish(publication(snapshots.primary(1.0, cluster=seen)))
    desk.publish(publication(snapshots.primary(2.0, cluster=Unknown(2.0, "down"))))
    assert desk.last_cluster() is seen


def test_rules_are_counted() -> None:
    """Each firing of a rule is counted."""
    desk = Desk()
    for rules in (("a", "b"), ("a",)):
        desk.publish(publication(snapshots.primary(1.0), fired_rules=rules))
    assert desk.rule_counts() == {"a": 2, "b": 1}


def test_request_and_answer() -> None:
    """A request wakes the loop, stays pending until it is answered, and is answered once."""
    desk = Desk()
    woken: list[str] = []
    desk.on_wake = woken.append
    future = desk.submit(RequestKind.REINITIALIZE, force=True)
    (request,) = desk.pending()
    assert (request.kind, request.force) == (RequestKind.REINITIALIZE, True)
    assert woken == ["request: reinitialize"]
    desk.answer(request.id, 200, "reinitialize started")
    desk.answer(request.id, 503, "too late")
    desk.answer(999, 200, "nobody asked")
    assert future.result(0) == (200, "reinitialize started")
    assert desk.pending() == ()


def test_abandoned_request() -> None:
    """A request that its caller gave up is no longer pending and may be answered in vain."""
    desk = Desk()
    future = desk.submit(RequestKind.RELOAD)
    (request,) = desk.pending()
    assert future.cancel()
    assert desk.pending() == ()
    desk.answer(request.id, 202, "reload scheduled")


def test_too_many_requests() -> None:
    """Requests beyond the limit are answered at once with 503."""
    desk = Desk()
    for _number in range(MOST_PENDING_REQUESTS):
        desk.submit(RequestKind.RELOAD)
    status, _text = desk.submit(RequestKind.RELOAD).result(0)
    assert status == 503
    assert len(desk.pending()) == MOST_PENDING_REQUESTS


def test_requests_from_many_threads() -> None:
    """Requests of many threads get different numbers and none is lost."""
    desk = Desk()
    threads = [
        threading.Thread(target=desk.submit, args=[RequestKind.RELOAD]) for _number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({request.id for request in desk.pending()}) == 20


def test_failsafe_calls() -> None:
    """Questions wait in order with what they tell; who gave up leaves, and too many are refused."""
    desk = Desk()
    woken: list[str] = []
    desk.on_wake = woken.append
    first, second = desk.ask_consent("n1", 30.0, {"n2": 5}), desk.ask_consent("n3", 0.0, {})
    assert [(c.name, c.ttl_seconds) for c in desk.failsafe_calls()] == [("n1", 30.0), ("n3", 0.0)]
    assert desk.failsafe_calls()[0].slots == {"n2": 5}
    assert desk.pending() == ()
    second.cancel()
    (call,) = desk.failsafe_calls()
    desk.answer(call.id, 200, "Accepted")
    assert first.result(1) == (200, "Accepted")
    asked = [desk.ask_consent("n1", 30.0, {"n2": 5}) for _ in range(MOST_PENDING_REQUESTS + 1)]
    assert asked[-1].result(1)[0] == 503
    assert woken[0] == "failsafe call of n1"


def test_poke() -> None:
    """A poke wakes the loop with its reason."""
    desk = Desk()
    woken: list[str] = []
    desk.on_wake = woken.append
    desk.poke("SIGHUP")
    assert woken == ["SIGHUP"]
