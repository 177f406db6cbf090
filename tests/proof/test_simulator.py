"""The simulator: kept stories, fresh seeds, and that it notices what it is there to notice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.decide import RULES, Decision
from engine.decide import run as decide
from engine.state import Snapshot, Tags
from proof.simulator.__main__ import revision
from proof.simulator.draw import Plan, draw
from proof.simulator.run import asked_for, run
from proof.simulator.shrink import explicit, shrink
from proof.simulator.steps import Step, heal, parse_step
from proof.simulator.story import all_stories, read, to_text
from proof.world import daemon
from proof.world.events import Steps
from proof.world.instance import Instance
from proof.world.setup import Setup
from proof.world.world import World

# The same runs everywhere; `make sim-ci` draws seeds of its own.
SEEDS = range(1, 121)


def led_by_n1(steps: tuple[Step, ...], heal_at: float, **fields: object) -> Plan:
    """A plan in which n1 founds the cluster, because the others start later."""
    late = tuple(Step(0.0, "crash-host", (name, "12.0")) for name in ("n2", "n3"))
    config = {"ttl_seconds": 30.0, "primary_start_timeout_seconds": 60.0}
    setup = Setup(config=config, local={"use_pg_rewind": True}, **fields)  # type: ignore[arg-type]
    return Plan(setup, (*late, *steps), heal_at)


@pytest.mark.parametrize("path", all_stories(), ids=lambda path: path.stem)
def test_a_kept_story_holds_and_reaches_its_rule(path: Path) -> None:
    """What a failing seed became is lived through without a violation, by way of its rule."""
    story = read(path)
    assert len(story.heading) >= 2, "what must hold, and where it was found"
    outcome = run(story.plan)
    assert not outcome.violations, [str(violation) for violation in outcome.violations]
    assert story.guard in RULES
    assert outcome.fired[story.guard], f"{story.guard} does not fire any more"


def test_a_candidate_whose_clock_is_slow_is_waited_for_one_ttl() -> None:
    """No invariant asks for a leader while faults go on, and healing drops what is scheduled."""
    name = "a-candidate-whose-clock-is-slow-is-waited-for-one-ttl"
    plan = read(next(path for path in all_stories() if path.stem == name)).plan
    leads: list[tuple[str, float]] = []

    def note(at: float, _: str, what: str) -> None:
        if what.startswith("the leader key is "):
            leads.append((what.removeprefix("the leader key is "), at))

    run(plan, note)
    (lost, since), (leader, at) = leads[1:3]
    assert (lost, leader) == ("gone", "n3")
    assert at - since < plan.setup.config["ttl_seconds"] + 5.0


def test_drawn_runs_break_nothing() -> None:
    """Runs that are drawn from their seeds break nothing, come back by themselves, and rest."""
    for seed in SEEDS:
        said = [str(violation) for violation in run(draw(seed)).violations]
        command = f"python -m proof.simulator --seed {seed} -v"
        assert not said, f"seed {seed} at {revision()}: {command}: {said}"


def test_an_engine_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of decide() is not taken for a daemon that has gone, which the world may excuse."""

    def fails(s: Snapshot) -> Decision:
        if s.memory.bootstrapping:
            raise ZeroDivisionError
        return decide(s)

    monkeypatch.setattr(daemon, "run", fails)
    with pytest.raises(ZeroDivisionError):
        run(draw(7))


def test_one_seed_is_one_run() -> None:
    """Everything that happens in a run follows from its seed."""
    first, again = _lines_of(7), _lines_of(7)
    assert first == again
    assert len(first) > 100


def _lines_of(seed: int) -> list[str]:
    lines: list[str] = []
    run(draw(seed), lambda at, who, what: lines.append(f"{at:.6f} {who} {what}"))
    return lines


def test_a_primary_that_loses_the_store_stops_before_another_leads() -> None:
    """The countdown of docs/safety.md, in the model: n1 is down before n2 or n3 promotes."""
    seen: list[str] = []
    plan = led_by_n1((Step(40.0, "split", ("n1", "store", "200.0")),), 300.0)
    outcome = run(plan, lambda _at, who, what: seen.append(f"{who} {what}"))
    assert not outcome.violations
    stopped = seen.index("n1 can acknowledge writes: nobody")
    promoted = next(n for n, line in enumerate(seen) if "is promoted" in line)
    assert stopped < promoted


def guarded_by_watchdogs(mode: str, *steps: Step) -> Plan:
    """The same, with a watchdog in each machine."""
    plan = led_by_n1(steps, 200.0, watchdogs=("n1", "n2", "n3"))
    local = {"watchdog_mode": mode, "use_pg_rewind": True}
    return replace(plan, setup=replace(plan.setup, local=local))


@pytest.mark.parametrize("mode", ["automatic", "required"])
def test_a_watchdog_resets_the_machine_of_a_daemon_that_hangs(mode: str) -> None:
    """It is fed until then; with `required` a cluster is founded and led all the same."""
    seen: list[str] = []
    plan = guarded_by_watchdogs(mode, Step(60.0, "freeze-daemon", ("n1", "90.0")))
    outcome = run(plan, lambda _at, who, what: seen.append(f"{who} {what}"))
    assert not outcome.violations
    assert outcome.counts["watchdog fired"] == 1
    reset = seen.index("n1 the watchdog resets the machine")
    assert any("is promoted" in line for line in seen[reset:])


def test_a_primary_whose_required_watchdog_refuses_gives_way() -> None:
    """Nothing is reset then, and another member leads."""
    plan = guarded_by_watchdogs("required", Step(60.0, "watchdog-refuses", ("n1", "100.0")))
    outcome = run(plan)
    assert not outcome.violations
    assert outcome.fired["primary.no_watchdog"]
    assert outcome.counts["promotions"] == 1
    assert not outcome.counts["watchdog fired"]


def test_a_standby_whose_replay_stands_still_is_promoted_after_it() -> None:
    """What it received is replayed before it becomes writable, and nothing of it is lost."""
    steps = tuple(Step(40.0, "stop-replay", (name, "60.0")) for name in ("n2", "n3"))
    plan = led_by_n1((*steps, Step(50.0, "crash-host", ("n1", "200.0"))), 260.0)
    seen: list[tuple[float, str]] = []
    outcome = run(plan, lambda at, _who, what: seen.append((at, what)))
    assert not outcome.violations
    assert min(at for at, what in seen if "is promoted" in what) >= 100.0


def test_a_member_streams_from_the_one_that_it_names_while_that_is_there() -> None:
    """n3 follows n2, the leader while n2 is down, and n2 again."""
    tags = (Tags(), Tags(), Tags(replicatefrom="n2"))
    plan = led_by_n1((Step(60.0, "stop-daemon", ("n2", "30.0")),), 130.0, tags=tags)
    seen: list[str] = []
    outcome = run(plan, lambda _at, who, what: seen.append(f"{who} {what}"))
    assert not outcome.violations
    assert [x for x in seen if x.startswith("n3 streams")][-2:] == [
        "n3 streams from n1",
        "n3 streams from n2",
    ]


def test_no_newer_timeline_is_received_while_replay_stands_still() -> None:
    """Its receiver waits at the end of the old one for the startup process (280002769)."""
    tags = (Tags(), Tags(), Tags(replicatefrom="n2"))
    steps = (Step(50.0, "stop-replay", ("n3", "90.0")), Step(60.0, "switchover", ("n2",)))
    seen: list[tuple[float, str]] = []
    outcome = run(
        led_by_n1(steps, 180.0, tags=tags), lambda at, who, what: seen.append((at, f"{who} {what}"))
    )
    assert not outcome.violations
    assert 60 < next(at for at, what in seen if "n2 is promoted" in what) < 80
    assert [at for at, what in seen if what == "n3 streams from n2"][-1] >= 140


def test_timings_that_change_are_gone_by_at_once() -> None:
    """The lock of a frozen machine ends by the ttl that it was renewed with last."""
    steps = (Step(40.0, "retime", ("90", "10", "30")), Step(80.0, "freeze-host", ("n1", "60.0")))
    outcome = run(led_by_n1(steps, 150.0))
    assert not outcome.violations
    assert not outcome.counts["promotions"]


def test_what_an_operator_asked_for_is_waited_for() -> None:
    """Before anybody asks for rest, daemons run that shall run, and no hand-over is due."""
    world = World(Setup(nodes=1))
    assert asked_for(world)
    world.hosts["n1"].start_daemon()
    assert not asked_for(world)
    world.store.ask_failover("n1", None, None)
    assert asked_for(world)
    world.clock.end()


def test_a_pause_that_only_copies_of_the_configuration_know_ends_too() -> None:
    """The store has lost its keys during maintenance: the operator who ends it writes them."""
    world = World(Setup(nodes=1))
    world.hosts["n1"].disk.config = {"ttl_seconds": 20.0, "pause": True}
    heal(world)
    assert world.store.config == {"ttl_seconds": 20.0, "pause": False}
    world.clock.end()


def test_a_stop_that_does_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary that goes on after its lease, in a world without a fence, meets another writer."""

    def nothing(_self: Instance, *_: object) -> Steps:
        yield 0.1

    monkeypatch.setattr(Instance, "stop", nothing)
    plan = led_by_n1((Step(40.0, "split", ("n1", "store", "200.0")),), 300.0, fence=False)
    assert "one_writer" in {violation.invariant for violation in run(plan).violations}


def test_a_broken_rule_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that does not stop a primary breaks a promise in that very decision."""

    def without_stops(s: Snapshot) -> Decision:
        decision = decide(s)
        kept = tuple(x for x in decision.actions if type(x).__name__ != "StopPostgres")
        return Decision(kept, decision.fired)

    monkeypatch.setattr(daemon, "run", without_stops)
    plan = led_by_n1((Step(40.0, "split", ("n1", "store", "200.0")),), 300.0, fence=False)
    assert "sane_decision" in {violation.invariant for violation in run(plan).violations}


def test_a_failing_run_shrinks_to_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that the failure does not need are left out, and the story reads as it was written."""

    def never_releases(s: Snapshot) -> Decision:
        decision = decide(s)
        kept = tuple(x for x in decision.actions if type(x).__name__ != "AcquireLock")
        return Decision(kept, decision.fired)

    noise = (Step(20.0, "wall-jump", ("n2", "55.0")), Step(21.0, "edit", ("parameters", "2")))
    plan = led_by_n1((*noise, Step(30.0, "kill-postgres", ("n1",))), 60.0)
    monkeypatch.setattr(daemon, "run", never_releases)
    small = shrink(explicit(plan))
    assert run(small).violations
    assert len(small.steps) < len(plan.steps)


def test_a_story_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Setup, steps and heading survive the round trip through text."""
    plan = replace(draw(11), steps=(Step(1.5, "kill-daemon", ("n1",)),))
    path = tmp_path / "story.txt"
    path.write_text(
        to_text(("It holds.", "Found by seed 11 at abc.  Guarded by lock.renew."), plan)
    )
    story = read(path)
    assert story.plan == plan
    assert story.guard == "lock.renew"
    assert parse_step(str(plan.steps[0])) == plan.steps[0]


@pytest.mark.parametrize("mode", ["on", "quorum"])
def test_no_synchronous_commit_is_lost_in_a_failover(mode: str) -> None:
    """Whoever leads after the primary's machine is gone has every synchronous commit."""
    config = {"synchronous_mode": mode, "ttl_seconds": 20.0, "loop_wait_seconds": 5.0}
    setup = Setup(config=config, write_every_seconds=0.2)
    plan = Plan(setup, (Step(60.0, "crash-host", ("leader", "90.0")),), 170.0)
    outcome = run(plan)
    assert not outcome.violations
    assert outcome.counts["synchronous"] > 100
    assert outcome.counts["promotions"] >= 1
