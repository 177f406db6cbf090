"""The lanes: order, cancelling, rest after a failure."""

from __future__ import annotations

import threading

import pytest

from engine.state import JobKind
from shell.lanes import BACKOFF_SECONDS, JobLane, SideLane, StoreLane
from tests.support.wait import wait_for


class Bell:
    """Counts the wake-ups of a lane."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def __call__(self, why: str) -> None:
        """Ring."""
        self.rung.append(why)


@pytest.fixture
def bell() -> Bell:
    """A fresh bell."""
    return Bell()


def test_a_slow_store_request_keeps_the_lane_busy(bell: Bell) -> None:
    """A request that outlasts the patience goes on, and nothing overtakes it."""
    lane, release = StoreLane(bell), threading.Event()

    assert lane.run(lambda: release.wait(30), 0.01) is None
    assert lane.busy_since is not None
    assert lane.run(lambda: True, 1) is None

    release.set()
    wait_for(lambda: lane.busy_since is None, 10, "the lane to be free")
    assert bell.rung == ["store request ended"]
    assert lane.run(lambda: True, 10) is True
    lane.close()


def test_a_job_reports_its_end(bell: Bell) -> None:
    """A job that fails leaves its reason behind, and wakes the loop."""
    lane = JobLane(bell)

    def fail(_: threading.Event) -> None:
        raise OSError("no space left on device")

    assert lane.start(JobKind.CLONE, "", fail)
    wait_for(lambda: lane.job is None, 10, "the job to end")
    assert lane.last is not None
    assert (lane.last.kind, lane.last.ok) == (JobKind.CLONE, False)
    assert lane.last.why == "no space left on device"
    wait_for(lambda: bell.rung == ["job ended: clone"], 10, "the wake-up")


def test_one_job_at_a_time(bell: Bell) -> None:
    """A second job is refused while the first one runs; a replacing one cancels it."""
    lane, began = JobLane(bell), threading.Event()

    def until_cancelled(cancel: threading.Event) -> None:
        began.set()
        cancel.wait(30)

    assert lane.start(JobKind.CLONE, "", until_cancelled)
    assert began.wait(10)
    assert not lane.start(JobKind.START, "", until_cancelled)

    ran_after = threading.Event()
    go_on = threading.Event()

    def stop(_: threading.Event) -> None:
        ran_after.set()
        go_on.wait(10)

    lane.replace(JobKind.STOP, "immediate", stop, kill_at=1007.5)

    assert ran_after.wait(10)
    assert lane.job is not None
    assert lane.job.kill_at == 1007.5
    go_on.set()
    wait_for(lambda: lane.job is None, 10, "the stop to end")
    assert lane.last is not None
    assert lane.last.kind is JobKind.STOP


def test_work_may_rest_for_less(bell: Bell) -> None:
    """A question is asked again as soon as its own rest is over."""
    lane, calls = SideLane(bell), []

    def fail() -> None:
        calls.append("failed")
        raise OSError("refused")

    def ask() -> bool:
        lane.start("AskLeader", fail, "n1", rests=(0.01,))
        return len(calls) > 3

    wait_for(ask, BACKOFF_SECONDS[0] + BACKOFF_SECONDS[1], "four questions")
    lane.close()


def test_failed_work_rests_before_the_next_try(bell: Bell) -> None:
    """The same work is not tried again at once, but work about something else is."""
    lane, calls = SideLane(bell), []

    def fail() -> None:
        calls.append("failed")
        raise OSError("refused")

    lane.start("AskLeader", fail, about="n1")
    wait_for(lambda: calls and not lane.is_running("AskLeader"), 10, "the failure")
    lane.start("AskLeader", lambda: calls.append("too early"), about="n1")
    lane.start("AskLeader", lambda: calls.append("another leader"), about="n2")

    wait_for(lambda: len(calls) == 2, 10, "the second question")
    assert calls == ["failed", "another leader"]
    wait_for(lambda: bell.rung == ["done: AskLeader"], 10, "the wake-up")
    lane.close()
