"""`hae explain` and `hae replay`: recorded and live decisions, and differences between rules."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ctl.main import hae
from engine.decide import decide, explain
from engine.policy import Policy
from engine.state import (
    DataDirectory,
    DirectoryKind,
    Fence,
    Lease,
    Member,
    Postgres,
    Snapshot,
    Unknown,
)
from shell.recorder.codec import encode
from shell.recorder.recorder import Recorder
from tests.ctl.support import World

WALL = 1788220800.0  # 2026-09-01 00:00:00 UTC
EMPTY = Snapshot(
    now=100.0,
    wall=WALL,
    me=Member("n1"),
    policy=Policy(),
    cluster=Unknown(90.0, "no answer"),
    lease=Lease(),
    postgres=Postgres(DataDirectory(DirectoryKind.EMPTY), None, Unknown(90.0, "not running")),
    fence=Fence(ready=True),
)


def line(snapshot: Snapshot, **changed: Any) -> dict[str, Any]:
    """What the recorder writes for a decision, with fields changed on purpose."""
    decision = explain(snapshot)
    return {
        "wall": snapshot.wall,
        "snapshot": encode(snapshot),
        "fired": list(decision.fired),
        "actions": encode(decide(snapshot)),
        "outcomes": ["all done"],
        **changed,
    }


def write(path: Path, *lines: dict[str, Any]) -> Path:
    """A recorder's file."""
    path.write_text("".join(json.dumps(item) + "\n" for item in lines))
    return path


def run(*arguments: str) -> Result:
    """Run `hae ...`."""
    return CliRunner().invoke(hae, list(arguments))


def test_explain_the_newest_record(tmp_path: Path) -> None:
    """The last decision of a file is told with its rules and how the actions ended."""
    file = write(tmp_path / "r.jsonl", line(EMPTY), line(replace(EMPTY, wall=WALL + 5)))
    result = run("explain", str(file))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("n1: recorded 20")
    assert "actions, in this order:" in result.output
    assert result.output.endswith("how the actions ended:\n  all done\n")
    for rule in explain(EMPTY).fired:
        assert rule in result.output


def test_explain_at_a_time(tmp_path: Path) -> None:
    """--at finds the decision that was in force then; before the first there is none."""
    lines = [line(replace(EMPTY, wall=WALL + second)) for second in (0, 10, 20)]
    file = write(tmp_path / "r.jsonl", *lines)
    for text, wall in (
        ("2026-09-01T00:00:19Z", WALL + 10),
        ("2026-09-01 02:00:20+02:00", WALL + 20),
        (str(WALL + 5), WALL),
    ):
        result = run("explain", str(file), "--at", text, "--format", "json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.output)["wall"] == wall
    early = run("explain", str(file), "--at", "2026-08-31T00:00:00Z")
    assert (early.exit_code, "no recorded decision at or before" in early.stderr) == (1, True)
    odd = run("explain", str(file), "--at", "teatime")
    assert (odd.exit_code, "Unable to parse time" in odd.stderr) == (1, True)


def test_explain_says_when_the_rules_have_changed(tmp_path: Path) -> None:
    """A recorded decision that today's rules would not make is marked."""
    file = write(tmp_path / "r.jsonl", line(EMPTY, fired=["old.rule"]))
    output = run("explain", str(file)).output
    assert "Note: the rules have changed since this was recorded; then fired: old.rule" in output


def test_explain_json_carries_the_whole_trace(tmp_path: Path) -> None:
    """Machine-readable: rules, actions, every step with what its facts saw."""
    document = json.loads(
        run("explain", str(write(tmp_path / "r.jsonl", line(EMPTY))), "-f", "json").output
    )
    decision = explain(EMPTY)
    assert document["fired"] == list(decision.fired)
    assert document["actions"] == json.loads(json.dumps(encode(decision.actions)))
    assert len(document["trace"]) == len(decision.trace)
    assert document["notes"] == []


def test_explain_a_live_node(world: World) -> None:
    """--url asks the node for snapshot and decision, and warns when it decides nothing."""
    member = world.add("n1", 1)
    told = {"wall": WALL, "age_seconds": 0.2, "decision": encode(explain(EMPTY))}
    member.answers["GET hae/snapshot"] = (200, json.dumps(encode(EMPTY)))
    member.answers["GET hae/explain"] = (200, json.dumps(told))
    url = member.api_url.removesuffix("/patroni")
    result = run("explain", "--url", url)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"n1: {url} at ")
    assert "Note" not in result.output
    member.answers["GET hae/explain"] = (200, json.dumps({**told, "age_seconds": 99}))
    assert "has not decided anything for 99 s" in run("explain", "--url", url).output
    member.answers["GET hae/explain"] = (200, json.dumps({**told, "wall": WALL - 1}))
    assert run("explain", "--url", url).exit_code == 0


@pytest.mark.parametrize("answer", [(503, "not ready"), (200, "no json"), (200, '{"wall": 1}')])
def test_explain_a_node_that_cannot_answer(world: World, answer: tuple[int, str]) -> None:
    """An answer that is none ends with a message and exit code 1."""
    member = world.add("n1", 1)
    member.answers["GET hae/snapshot"] = member.answers["GET hae/explain"] = answer
    result = run("explain", "--url", member.api_url)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


def node_file(folder: Path, records: Path, port: int = 27999) -> Path:
    """A node's own configuration."""
    path = folder / "node.yml"
    path.write_text(
        "scope: demo\nname: n1\n"
        f"embedded: {{path: {folder}/store.db}}\n"
        f"restapi: {{listen: '127.0.0.1:{port}', connect_address: '127.0.0.1:{port}'}}\n"
        f"recorder: {{dir: {records}}}\n"
        "postgresql:\n"
        "  listen: 127.0.0.1:27998\n  connect_address: 127.0.0.1:27998\n"
        f"  data_dir: {folder}/data\n"
        "  authentication:\n"
        "    superuser: {username: postgres, password: s}\n"
        "    replication: {username: replicator, password: r}\n"
    )
    return path


def test_explain_by_the_nodes_file(world: World, tmp_path: Path) -> None:
    """-c asks the node; a node that is down is explained from its records."""
    records = tmp_path / "records"
    recorder = Recorder(records)
    recorder.append(line(EMPTY))
    assert recorder.flush()
    recorder.close()
    member = world.add("n1", 1)
    told = {"wall": WALL, "decision": encode(explain(EMPTY))}
    member.answers["GET hae/snapshot"] = (200, json.dumps(encode(EMPTY)))
    member.answers["GET hae/explain"] = (200, json.dumps(told))
    port = int(member.api_url.split(":")[2].split("/")[0])
    live = run("explain", "-c", str(node_file(tmp_path, records, port)))
    assert live.exit_code == 0, live.output
    assert f"n1: http://127.0.0.1:{port} at" in live.stdout
    down = run("explain", "-c", str(node_file(tmp_path, records)))
    assert down.exit_code == 0, down.output
    assert "does not answer" in down.stderr
    assert f"in {records}" in down.stdout
    then = run("explain", "-c", str(node_file(tmp_path, records, port)), "--at", str(WALL + 1))
    assert f"in {records}" in then.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text("scope: demo\n")
    assert run("explain", "-c", str(broken)).exit_code == 1


def test_explain_needs_one_place(tmp_path: Path) -> None:
    """No place, two places, or a place that is not there: a message, and exit code 1."""
    assert "say where to look" in run("explain").stderr
    both = run("explain", str(tmp_path), "--url", "http://x")
    assert (both.exit_code, "say where to look" in both.stderr) == (1, True)
    gone = run("explain", str(tmp_path / "gone.jsonl"))
    assert (gone.exit_code, "gone.jsonl" in gone.stderr) == (1, True)
    later = run("explain", "--url", "http://x", "--at", "02:00")
    assert "--at needs the records" in later.stderr


def test_replay_of_the_same_rules(tmp_path: Path) -> None:
    """Same input, same output: exit code 0."""
    file = write(tmp_path / "r.jsonl", line(EMPTY), line(replace(EMPTY, stopping=True)))
    result = run("replay", str(file))
    assert (result.exit_code, result.output) == (
        0,
        "2 decisions replayed: 2 the same, 0 different, 0 unreadable\n",
    )


def test_replay_shows_differences_rule_by_rule(tmp_path: Path) -> None:
    """A decision that comes out differently names table, rules, facts and actions."""
    decision = explain(EMPTY)
    first = decision.fired[0]
    table = first.partition(".")[0]
    fired = [f"{table}.gone", *decision.fired[1:]]
    hold = {"@": "Hold", "waiting_for": "better days"}
    file = write(tmp_path / "r.jsonl", line(EMPTY), line(EMPTY, fired=fired, actions=[hold]))
    result = run("replay", str(file))
    assert result.exit_code == 1
    assert f"  {table}: recorded {table}.gone, now {first}\n" in result.output
    assert f"      {first} fires: " in result.output
    assert "  - wait for better days\n" in result.output
    assert "2 decisions replayed: 1 the same, 1 different, 0 unreadable\n" in result.output
    document = json.loads(run("replay", str(file), "-f", "json").output)
    assert (document["replayed"], document["same"], document["different"]) == (2, 1, 1)
    [difference] = document["differences"]
    assert difference["fired"] == {"recorded": fired, "now": list(decision.fired)}
    assert difference["actions"]["recorded"] == [hold]


def test_replay_of_what_cannot_be_read(tmp_path: Path) -> None:
    """A record of another version is named and counted; nothing at all is an error."""
    file = write(tmp_path / "r.jsonl", line(EMPTY) | {"snapshot": {"now": "soon"}})
    result = run("replay", str(file))
    assert result.exit_code == 1
    assert "cannot be read by this version" in result.output
    assert "1 unreadable" in result.output
    empty = write(tmp_path / "empty.jsonl")
    assert run("replay", str(empty)).exit_code == 1
    assert run("replay", str(tmp_path / "gone")).exit_code == 1


@pytest.mark.parametrize("command", ["explain", "replay"])
def test_help_with_examples(command: str) -> None:
    """Both commands say what they do and how they are typed."""
    output = run(command, "--help").output
    assert f"    hae {command} " in output
