"""A batch of simulated runs: its figures, and going on where it was stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections import Counter
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest

from proof.invariants import Violation
from proof.simulator.__main__ import main, seed_of
from proof.simulator.batch import Summary, many
from proof.simulator.draw import Wish, draw
from proof.simulator.run import Outcome


def _figures(total: Summary) -> dict[str, object]:
    return {name: value for name, value in vars(total).items() if name != "spent"}


def test_a_batch_that_was_stopped_goes_on_to_the_same_figures(tmp_path: Path) -> None:
    """Two runs and, from the file on, two more come to what four runs come to."""
    kept = tmp_path / "batch.json"
    many(Summary("abc", 5, 5), 2, 1e9, 2, kept)
    stopped = Summary.read(kept)
    assert (stopped.runs, stopped.following) == (2, 7)
    many(stopped, 4, 1e9, 2, kept)
    whole = Summary("abc", 5, 5)
    many(whole, 4, 1e9, 1, None)
    assert _figures(Summary.read(kept)) == _figures(whole)
    assert whole.cycles > 4 * 50


def test_each_commit_has_seeds_of_its_own() -> None:
    """A test that is repeated repeats its runs; the next commit tries others."""
    assert seed_of("1a2b3c4") == seed_of("1a2b3c4")
    assert len({seed_of(f"{number:07x}") // 1000 for number in range(100)}) == 100


def _stuck_but_for_the_first(begun: Synchronized[int]) -> None:
    with begun.get_lock():
        begun.value += 1
        first = begun.value == 1
    while not first:
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(60)


@pytest.mark.timeout(60)
def test_a_worker_that_has_only_begun_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is over before it: then it must not wait for it for ever."""
    begun = multiprocessing.Value("i", 0)
    monkeypatch.setattr("gc.freeze", lambda: _stuck_but_for_the_first(begun))
    assert many(Summary("abc", 5, 5), 1, 1e9, 2, None) == 0


def test_the_summary_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs, cycles, time, faults and operators by kind, and broken runs by invariant."""
    total = Summary("abc", 1, 1)
    counts = Counter({"step cut": 3, "step pause": 1, "job Promote": 2, "promotions": 2})
    broken = [Violation("one_writer", "At most one.", "n1 and n2")]
    total.add(1, Outcome([], 200, 86400.0, (), counts=counts), 0.5)
    total.add(2, Outcome(broken, 100, 0.0, (), counts=Counter({"step cut": 1})), 0.5)
    total.add(3, "KeyError: n9", 0.0)
    said = total.tell()
    for figure in (
        *("3 runs, 300 node-cycles", "1.00 days", "300 node-cycles per second"),
        *("faults: 4: cut 4", "operators: 1: pause 1", "jobs: Promote 2", "seen: promotions 2"),
        *("runs that broke something: 2", "one_writer: 1 (seeds 2)", "model failed: 1 (seeds 3)"),
    ):
        assert figure in said
    assert total.progress(9).startswith("3 of 9 runs, 300 node-cycles")
    assert "seed 2 after 0.0 s: one_writer" in capsys.readouterr().out


def test_a_pace_that_is_asked_for_changes_how_often_something_happens_alone() -> None:
    """The same world, with more faults; without one the pace is drawn."""
    drawn, dense = draw(3), draw(3, Wish(1.5))
    assert dense.setup == drawn.setup
    assert dense.heal_at == drawn.heal_at
    assert len(dense.steps) > 2 * len(drawn.steps)


def test_only_the_kinds_that_are_asked_for_happen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also rare ones; a name that is none is told, with those that there are."""
    kinds = ("pause", "stop-replay")
    drawn = [draw(seed, Wish(kinds=kinds)).steps for seed in range(9)]
    assert {step.name for steps in drawn for step in steps} == set(kinds)
    monkeypatch.setattr("sys.argv", ["simulator", "--only", "pause,sabotage"])
    with pytest.raises(SystemExit):
        main()
    assert "sabotage: choose from crash-host, cut," in capsys.readouterr().err


def test_figures_of_another_batch_are_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another seed, revision or wish is left alone."""
    kept = tmp_path / "batch.json"
    Summary("abc", 1, 4).write(kept)
    wishes = (("--pace", "2"), ("--only", "pause"))
    for revision, wish in (("abd", ()), *(("abc", wish) for wish in wishes)):
        monkeypatch.setenv("SIM_REVISION", revision)
        asked = ["simulator", "--seed", "1", *wish, "--runs", "9", "--keep", str(kept)]
        monkeypatch.setattr("sys.argv", asked)
        assert main() == 2
        assert Summary.read(kept).following == 4


def test_the_last_line_repeats_what_failed_or_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the seeds, the revision, and one command."""
    broken = [Violation("one_writer", "At most one.", "n1 and n2")]

    def lived(total: Summary, *_asked: object) -> int:
        total.add(5, Outcome([], 200, 1.0, ()), 0.1)
        total.add(6, Outcome(broken if fails else [], 200, 1.0, ()), 0.1)
        return 1 if total.failures else 0

    monkeypatch.setattr("proof.simulator.batch.many", lived)
    monkeypatch.setenv("SIM_REVISION", "abc")
    for fails, wish, again in (
        (False, "", "--seed 5 --runs 9"),
        (True, "", "--seed 6 -v"),
        (True, " --pace 1.5", "--seed 6 --pace 1.5 -v"),
        (True, " --only pause,cut", "--seed 6 --only pause,cut -v"),
    ):
        asked = f"simulator --seed 5{wish} --runs 9"
        monkeypatch.setattr("sys.argv", asked.split())
        assert main() == int(fails)
        said = capsys.readouterr().out.splitlines()
        head = "simulator at abc: seeds 5 to"
        assert said[0] == f"{head} 13 (python -m proof.{asked})"
        failed = f"{int(fails)} broke something (python -m proof.simulator {again})"
        assert said[-1] == f"{head} 6: {failed}"
