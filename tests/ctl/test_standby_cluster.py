"""`demote-cluster` and `promote-cluster`: what they write, and what they wait for."""

import json
import threading
from typing import Any

import pytest

from tests.ctl.support import LSN, World
from tests.support.wait import wait_for

FAR = {"host": "10.1.0.1", "port": 5433}


def _config(demo: World) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(demo.get("config") or "{}")
    return value


def _becomes(demo: World, role: str, when_the_section_is_there: bool) -> threading.Thread:
    """Let the leader publish that role once the configuration asks for it."""

    def follow() -> None:
        there = when_the_section_is_there
        wait_for(lambda: ("standby_cluster" in _config(demo)) is there, 20, "the configuration")
        api_url = demo.members["n1"].api_url
        demo.publish("n1", 1, role=role, xlog_location=LSN, api_url=api_url)

    thread = threading.Thread(target=follow)
    thread.start()
    return thread


def test_demote_cluster_writes_the_section_and_waits_for_the_role(demo: World) -> None:
    """What was given stands in the section; the leader's way is told each second."""
    follower = _becomes(demo, "standby_leader", True)
    words = ["--host", "10.1.0.1", "--port", "5433", "--primary-slot-name", "dr"]
    result = demo.ctl("demote-cluster", *words, "--force")
    follower.join()
    assert result.exit_code == 0, result.output
    assert _config(demo)["standby_cluster"] == {**FAR, "primary_slot_name": "dr"}
    assert "leader n1 is running as standby_leader" in result.stdout
    assert "Success: cluster demo is demoted" in result.stdout
    assert "Standby Leader" in result.stdout


def test_promote_cluster_removes_the_section_and_waits_for_the_role(demo: World) -> None:
    """The rest of the configuration stays."""
    demo.put("config", {"ttl": 30, "standby_cluster": FAR})
    demo.publish("n1", 1, role="standby_leader", api_url=demo.members["n1"].api_url)
    follower = _becomes(demo, "primary", False)
    result = demo.ctl("promote-cluster", stdin="y\n")
    follower.join()
    assert result.exit_code == 0, result.output
    assert _config(demo) == {"ttl": 30}
    assert "Are you sure you want to promote cluster demo?" in result.stdout
    assert "Success: cluster demo is promoted" in result.stdout


@pytest.mark.parametrize(
    ("command", "config", "why"),
    [
        (["demote-cluster"], {}, "at least one of --host, --port and --restore-command"),
        (["demote-cluster", "--host", "h"], {"standby_cluster": FAR}, "a standby cluster already"),
        (["promote-cluster"], {}, "is not a standby cluster"),
        (["demote-cluster", "--host", "h"], {"pause": True}, "maintenance mode"),
    ],
)
def test_what_makes_no_sense_is_refused(
    demo: World, command: list[str], config: dict[str, Any], why: str
) -> None:
    """Nothing is written, and the exit code is 1."""
    demo.put("config", config)
    result = demo.ctl(*command, "--force")
    assert result.exit_code == 1
    assert why in result.stderr
    assert _config(demo) == config


def test_a_no_changes_nothing(demo: World) -> None:
    """Asked and answered with no: exit 1, the configuration as it was."""
    before = _config(demo)
    result = demo.ctl("demote-cluster", "--host", "10.1.0.1", stdin="n\n")
    assert result.exit_code == 1
    assert "Aborting demote of the cluster" in result.stderr
    assert _config(demo) == before
