"""`hae whatif` on the command line: where snapshots come from, and how answers are shown."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ctl.main import hae
from engine.decide import decide, explain
from engine.state import Snapshot
from shell.recorder.codec import encode
from tests.ctl.support import World
from tests.support.pictures import snapshots

MIB = 1024 * 1024


def run(*arguments: str) -> Result:
    """Run `hae whatif ...`; what it asks of a question is lived through twice."""
    return CliRunner().invoke(hae, ["whatif", "--runs", "2", *arguments])


def write(path: Path, *found: Snapshot) -> Path:
    """A recorder's file with their decisions."""
    lines = [
        {
            "wall": s.wall,
            "snapshot": encode(s),
            "fired": list(explain(s).fired),
            "actions": encode(decide(s)),
        }
        for s in found
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def live(world: World) -> World:
    """n1 leads, n2 lags by 12 MiB; all three answer."""
    world.healthy()
    for s in snapshots(lags={"n2": 12 * MIB}):
        world.members[s.me.name].answers["GET hae/snapshot"] = (200, json.dumps(encode(s)))
    return world


def config(world: World) -> str:
    """The configuration file that names the store."""
    path = world.folder / "ctl.yml"
    path.write_text(yaml.safe_dump(world.config))
    return str(path)


def test_the_table_answers_every_question_in_a_line(live: World) -> None:
    """Whoever leads then, how long writes are out, what is lost, and by which rule."""
    result = run("-c", config(live))
    assert result.exit_code == 0, result.output
    lines = {line.split("|")[1].strip(): line for line in result.output.splitlines() if "|" in line}
    assert " n3 " in lines["primary-dies"]
    assert "race.acquire" in lines["primary-dies"]
    assert " nobody " in lines["store-gone"]
    assert " n1 " in lines["node:n2"]
    assert max(len(line) for line in lines.values()) <= 96


def test_members_are_only_asked_to_show(live: World) -> None:
    """A question changes nothing: the members see GET requests only."""
    assert run("demo", "-c", config(live), "--if", "primary-dies").exit_code == 0
    asked = [x for member in live.members.values() for x in member.asked]
    assert {(x.method, x.path) for x in asked} == {("GET", "hae/snapshot")}


def test_one_question_in_detail(live: World) -> None:
    """The winner's rules with their reasons, what held the others back, and one of the runs."""
    result = run("-c", config(live), "--if", "primary-dies")
    assert result.exit_code == 0, result.output
    for part in (
        "primary-dies: the machine of n1, the primary, dies and stays away",
        "n3 takes over, in 2 of 2 runs",
        "n3: race.acquire: Nobody is ahead: take the lock",
        "n2: race.lagging: We are too far behind the last known position (12582912 bytes",
        "0 B by the positions as they are",
        "standby.promote: promote",
    ):
        assert part in result.output, part
    assert max(map(len, result.output.splitlines())) <= 120


def test_json_and_yaml_carry_everything(live: World) -> None:
    """Machine-readable: members, notes, and each answer with its endings."""
    told = run("-c", config(live), "--if", "primary-dies", "--if", "node:n1,n3", "-f", "json")
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    assert document["leader"] == "n1"
    assert document["members"][1] == {
        "name": "n2",
        "up": True,
        "running": True,
        "lag_bytes": 12 * MIB,
        "by_its_own_word": True,
    }
    first, second = document["questions"]
    assert [ending["leader"] for ending in first["endings"]] == ["n3"]
    assert [x["rule"] for x in first["endings"][0]["by"]] == ["race.acquire", "standby.promote"]
    assert [ending["leader"] for ending in second["endings"]] == [None]
    again = run("-c", config(live), "--if", "primary-dies", "--if", "node:n1,n3", "-f", "yaml")
    assert yaml.safe_load(again.stdout) == document
    table = run("-c", config(live), "--if", "primary-dies", "-f", "tsv").stdout.splitlines()
    assert table[0].split("\t")[:2] == ["If", "Leads then"]


def test_a_member_that_does_not_answer_is_named(live: World) -> None:
    """Without an answer it counts only as far as the primary sees it; a Patroni is told apart."""
    live.members["n2"].answers["GET hae/snapshot"] = (503, json.dumps({"state": "running"}))
    live.members["n3"].answers["GET hae/snapshot"] = (0, "")
    output = run("-c", config(live), "--if", "primary-dies").output
    text = " ".join(output.split())
    assert "n2 is known only from its key in the store and the primary's view" in text
    assert "it runs Patroni, or another version of hae" in text
    assert "n3 is known only from its key" in text


def test_url_needs_no_store(live: World) -> None:
    """The member that is asked first tells of the others."""
    for number, s in enumerate(snapshots(), 1):
        text = json.dumps(encode(s))
        for other in range(1, 4):  # the addresses in its view are those of the test's members
            real = live.members[f"n{other}"].api_url
            text = text.replace(f"http://10.0.0.{other}:8008/patroni", real)
        live.members[f"n{number}"].answers["GET hae/snapshot"] = (200, text)
    url = live.members["n2"].api_url.removesuffix("/patroni")
    document = json.loads(run("--url", url, "--if", "primary-dies", "-f", "json").stdout)
    assert [m["by_its_own_word"] for m in document["members"]] == [True, True, True]


def test_records_of_all_members(tmp_path: Path) -> None:
    """--record can be repeated; each file is told as the source of its member."""
    files = [write(tmp_path / f"{s.me.name}.jsonl", s) for s in snapshots(lags={"n2": 12 * MIB})]
    options = [part for file in files for part in ("--record", str(file))]
    result = run(*options, "--if", "primary-dies")
    assert result.exit_code == 0, result.output
    assert "n3 takes over" in result.output
    assert "Note: n2: recorded" in result.output


def test_one_record_at_a_time(tmp_path: Path) -> None:
    """--at asks about the cluster as that member saw it then."""
    early, late = snapshots(lags={"n2": 12 * MIB})[0], snapshots(lags={"n3": 12 * MIB})[0]
    file = write(tmp_path / "n1.jsonl", early, _later(late, 60.0))
    then = run("--record", str(file), "--at", str(early.wall + 1), "--if", "primary-dies")
    assert "n3 takes over" in then.output
    now = run("--record", str(file), "--if", "primary-dies")
    assert "n2 takes over" in now.output


def _later(s: Snapshot, seconds: float) -> Snapshot:
    return replace(s, wall=s.wall + seconds)


@pytest.mark.parametrize("name", ["n1", "n2"])
def test_a_record_of_a_real_cluster_still_answers(name: str) -> None:
    """Kept from a cluster that lost its primary a moment later: n3 took over, losing nothing."""
    file = Path(__file__).parent / "records" / f"synchronous-{name}.jsonl"
    told = run("--record", str(file), "--if", "primary-killed", "-f", "json")
    assert told.exit_code == 0, told.output
    (question,) = json.loads(told.stdout)["questions"]
    (ending,) = question["endings"]
    assert ending["leader"] == "n3"
    assert ending["loss"]["safe_by"]
    assert question["doubts"] == []
    # It took 19.0 s then.
    assert 10 < ending["out_median_seconds"] < 22


def test_wrong_uses_are_refused(live: World, tmp_path: Path) -> None:
    """Each with what to do instead, and exit code 1."""
    file = write(tmp_path / "n1.jsonl", snapshots()[0])
    cases: list[tuple[list[str], str]] = [
        (["--at", "02:00"], "--at needs the records"),
        (["--url", "http://127.0.0.1:1", "demo"], "--url names a member"),
        (["--url", "127.0.0.1:1"], "no answer"),
        (["-c", config(live), "--if", "earthquake"], "there is no question earthquake"),
        (["--record", str(file), "--if", "node:n7"], "n7 is no member"),
        (["-c", config(live), "nowhere"], "cluster nowhere does not exist"),
    ]
    for arguments, text in cases:
        result = run(*arguments)
        assert (result.exit_code, text in result.stderr) == (1, True), (arguments, result.output)


def test_it_needs_nothing_that_only_tests_have() -> None:
    """The model world runs where hae is installed; other commands start without it."""
    program = (
        "import sys, ctl.main\n"
        "assert not [m for m in sys.modules if m.startswith('proof.world')], 'loaded too early'\n"
        "import proof.whatif.answer, proof.whatif.questions\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'hypothesis', 'pytest', 'tests'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_help_shows_examples() -> None:
    """What can be asked is in the help."""
    output = CliRunner().invoke(hae, ["whatif", "--help"]).output
    for part in ("primary-isolated", "node:NAME,NAME", "--record n1/records", "Examples:"):
        assert part in output
    listed: Any = CliRunner().invoke(hae, ["--help"]).output
    assert "whatif" in listed
