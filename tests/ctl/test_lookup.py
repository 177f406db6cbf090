"""`dsn`, `version`, `remove`, the configuration file, credentials, and every command's help."""

import base64
import json
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from ctl.main import ctl, hae
from tests.ctl.support import World


def test_dsn(demo: World) -> None:
    """The leader's address by default; another by role or name."""
    assert demo.ctl("dsn").output == "host=10.0.0.1 port=5432\n"
    assert demo.ctl("dsn", "-r", "replica").output == "host=10.0.0.2 port=5432\n"
    assert demo.ctl("dsn", "-m", "n3").output == "host=10.0.0.3 port=5432\n"
    both = demo.ctl("dsn", "-m", "n3", "-r", "replica")
    assert (both.exit_code, "mutually exclusive" in both.stderr) == (1, True)
    missing = demo.ctl("dsn", "-m", "n9")
    assert (missing.exit_code, "no member n9" in missing.stderr) == (1, True)


def test_version(demo: World) -> None:
    """The tool's line, then one for each member; an unreachable one makes the exit code 1."""
    document = {"server_version": 160004, "patroni": {"version": "4.1.5"}}
    demo.members["n1"].answers["GET patroni"] = (200, json.dumps(document))
    result = demo.ctl("version", "demo", "n1")
    assert result.exit_code == 0, result.output
    first, empty, member = result.output.rstrip("\n").split("\n")
    assert first.startswith("patronictl version 4.1.5 (hae ")
    assert (empty, member) == ("", "n1: Patroni 4.1.5 PostgreSQL 16.4")
    demo.publish("n2", 2)
    failed = demo.ctl("version", "demo", "n2")
    assert (failed.exit_code, "n2: failed to get version" in failed.output) == (1, True)


def test_version_without_a_cluster(world: World) -> None:
    """Without a cluster only the tool's line is printed, and no store is needed."""
    world.config = {}
    result = world.ctl("version")
    assert (result.exit_code, result.output.count("\n")) == (0, 1)


def test_remove_deletes_everything_after_three_confirmations(demo: World) -> None:
    """Name, sentence and leader are typed; then no key is left."""
    result = demo.ctl("remove", "demo", stdin="demo\nYes I am aware\nn1\n")
    assert result.exit_code == 0, result.output
    assert 'please type: "Yes I am aware": Yes I am aware' in result.output
    assert "This cluster currently is healthy. Please specify the leader name" in result.output
    assert demo.get("config") is None
    assert "does not exist" in demo.ctl("list").stderr


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("other\n", "Cluster names specified do not match"),
        ("demo\nyes\n", 'You did not exactly type "Yes I am aware"'),
        ("demo\nYes I am aware\nn2\n", "You did not specify the current leader of the cluster"),
    ],
)
def test_remove_refuses_a_wrong_answer(demo: World, stdin: str, message: str) -> None:
    """One wrong answer keeps everything."""
    result = demo.ctl("remove", "demo", stdin=stdin)
    assert (result.exit_code, f"Error: {message}" in result.stderr) == (1, True)
    assert demo.get("config") is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["topology"],
        ["history"],
        ["show-config"],
        ["edit-config"],
        ["switchover", "--force"],
        ["failover", "--force"],
        ["restart", "nowhere", "--force"],
        ["reload", "nowhere", "--force"],
        ["reinit", "nowhere", "--force"],
        ["pause"],
        ["resume"],
        ["flush", "nowhere", "restart"],
        ["dsn"],
        ["remove", "nowhere"],
        ["version"],
    ],
)
def test_a_cluster_that_does_not_exist(demo: World, arguments: list[str]) -> None:
    """Every command names what is missing and what is there instead, and exits with 1."""
    demo.config["scope"] = "nowhere"
    result = demo.ctl(*arguments)
    assert result.exit_code == 1
    assert "cluster nowhere does not exist in the store" in result.stderr
    assert "the store knows: demo" in result.stderr


def test_no_configuration_at_all() -> None:
    """Without file and options the message names both ways out."""
    result = CliRunner().invoke(hae, ["ctl", "list", "demo"])
    assert result.exit_code == 1
    assert "no store is configured" in result.stderr
    assert "--dcs-url" in result.stderr
    result = CliRunner().invoke(hae, ["ctl", "list"])
    assert "no cluster named" in result.stderr


def test_the_store_by_url(demo: World) -> None:
    """--dcs-url and DCS_URL need no file."""
    url = f"embedded://{demo.store_path}"
    for arguments, variables in (
        (["ctl", "--dcs-url", url, "list", "demo"], {}),
        (["ctl", "-d", url, "list", "demo"], {}),
        (["ctl", "list", "demo"], {"DCS_URL": url}),
    ):
        result = CliRunner(env=variables).invoke(hae, arguments)
        assert result.exit_code == 0, result.output
        assert "Cluster: demo" in result.output


@pytest.mark.parametrize(
    ("place", "variable"),
    [
        ("home/.config/hae/hae.yaml", None),
        ("home/.config/patroni/patronictl.yaml", None),
        ("elsewhere.yml", "HAE_CONFIG_FILE"),
        ("elsewhere.yml", "PATRONICTL_CONFIG_FILE"),
    ],
)
def test_the_configuration_is_found(
    demo: World, tmp_path: Path, place: str, variable: str | None
) -> None:
    """The default places and both variables are looked at."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(demo.config))
    runner = CliRunner(env={variable: str(path)} if variable else {})
    assert runner.invoke(hae, ["ctl", "dsn"]).output == "host=10.0.0.1 port=5432\n"


def test_a_nodes_own_file_serves(demo: World) -> None:
    """Sections that ctl does not need neither matter nor hurt."""
    demo.config |= {"name": "n1", "postgresql": {"listen": 5}, "restapi": {"listen": ":8008"}}
    assert demo.ctl("dsn").exit_code == 0


@pytest.mark.parametrize(
    "text", ["scope: [", "scope: a\nscope: b\n", "ctl: 3\n", "etcd3: {host: []}"]
)
def test_a_broken_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """The problem is named with its place; the exit code is 1."""
    path = tmp_path / "broken.yml"
    path.write_text(text)
    result = CliRunner().invoke(hae, ["ctl", "-c", str(path), "list", "demo"])
    assert result.exit_code == 1
    assert "the configuration cannot be used" in result.stderr
    assert "broken.yml" in result.stderr


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """A named file must exist."""
    result = CliRunner().invoke(hae, ["ctl", "-c", str(tmp_path / "gone.yml"), "list"])
    assert (result.exit_code, "gone.yml does not exist" in result.stderr) == (1, True)


@pytest.mark.parametrize("section", ["ctl", "restapi"])
def test_credentials_reach_the_members(demo: World, section: str) -> None:
    """ctl.authentication is used, else restapi.authentication."""
    demo.config[section] = {"authentication": {"username": "u", "password": "secret"}}
    demo.members["n1"].answers["POST reload"] = (202, "")
    demo.ctl("reload", "demo", "n1", "--force")
    expected = "Basic " + base64.b64encode(b"u:secret").decode()
    assert demo.members["n1"].asked[0].authorization == expected


def test_every_command_has_help_with_examples() -> None:
    """--help needs no configuration, says what the command does, and shows how it is typed."""
    for name, command in ctl.commands.items():
        result = CliRunner().invoke(hae, ["ctl", name, "--help"])
        assert result.exit_code == 0, name
        assert command.help, name
        assert f"\n    hae ctl {name}" in result.output, name
        options = [p for p in command.params if isinstance(p, click.Option)]
        assert all(option.help for option in options), name


@pytest.mark.parametrize(
    "arguments", [["restart"], ["nonsense"], ["list", "-f", "xml"], ["flush", "demo", "everything"]]
)
def test_wrong_usage_exits_with_2(demo: World, arguments: list[str]) -> None:
    """A command line that cannot be understood is told apart from a refusal."""
    assert demo.ctl(*arguments).exit_code == 2
