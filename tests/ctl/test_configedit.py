"""`show-config` and `edit-config`: values, diffs, conflicts."""

import json
import stat
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.ctl.support import World


def config(demo: World) -> dict[str, Any]:
    """The stored configuration."""
    value: dict[str, Any] = json.loads(demo.get("config") or "{}")
    return value


def test_show_config_is_sorted_yaml(demo: World) -> None:
    """The configuration is printed as block YAML."""
    demo.put("config", {"ttl": 30, "postgresql": {"parameters": {"b": 1, "a": "x"}}})
    expected = "postgresql:\n  parameters:\n    a: x\n    b: 1\nttl: 30\n"
    assert demo.ctl("show-config").output == expected


def test_missing_config_key_is_an_error(world: World) -> None:
    """A cluster without configuration says so."""
    world.put("initialize", "1")
    for command in ("show-config", "edit-config"):
        result = world.ctl(command)
        assert result.exit_code == 1
        assert "The config key does not exist in the cluster demo" in result.stderr


def test_edit_config_shows_the_diff_and_asks(demo: World) -> None:
    """A unified diff, the question, then the change."""
    result = demo.ctl("edit-config", "-s", "ttl=40", stdin="y\n")
    assert result.exit_code == 0, result.output
    assert (
        "--- \n+++ \n@@ -1,3 +1,3 @@\n loop_wait: 10\n retry_timeout: 10\n-ttl: 30\n+ttl: 40\n"
        in (result.stdout)
    )
    assert "Apply these changes? [y/N]: y\nConfiguration changed\n" in result.stdout
    assert demo.get("config") == '{"ttl":40,"loop_wait":10,"retry_timeout":10}'


def test_edit_config_refused_changes_nothing(demo: World) -> None:
    """A no leaves the configuration, and exits with 1."""
    result = demo.ctl("edit-config", "-s", "ttl=40", stdin="n\n")
    assert result.exit_code == 1
    assert config(demo)["ttl"] == 30


def test_edit_config_without_a_difference(demo: World) -> None:
    """Setting what is there already changes nothing and is no error."""
    result = demo.ctl("edit-config", "-s", "ttl=30", "--force")
    assert (result.exit_code, result.output) == (0, "Not changed\n")


def test_edit_config_sets_paths_and_parameters(demo: World) -> None:
    """Dots split the path, but not a parameter's name; values are YAML; null deletes."""
    sets = [
        ["-s", "postgresql.use_pg_rewind=true"],
        ["-s", "postgresql.parameters.pg_stat_statements.max=500"],
        ["-s", "retry_timeout=null"],
        ["-s", "slots={a: {type: physical}}"],
        ["-p", "work_mem='8MB'"],
        ["--pg", "auto_explain.log_min_duration=5s"],
    ]
    result = demo.ctl("edit-config", "--force", *[word for pair in sets for word in pair])
    assert result.exit_code == 0, result.output
    assert config(demo) == {
        "ttl": 30,
        "loop_wait": 10,
        "postgresql": {
            "use_pg_rewind": True,
            "parameters": {
                "pg_stat_statements.max": 500,
                "work_mem": "8MB",
                "auto_explain.log_min_duration": "5s",
            },
        },
        "slots": {"a": {"type": "physical"}},
    }
    demo.ctl("edit-config", "--force", "-p", "work_mem=null", "-s", "slots=null")
    assert "work_mem" not in config(demo)["postgresql"]["parameters"]
    assert "slots" not in config(demo)


def test_edit_config_replaces_then_applies_then_sets(demo: World, tmp_path: Path) -> None:
    """All options together work in a fixed order, whatever order they are given in."""
    (tmp_path / "replace.yml").write_text("ttl: 50\nloop_wait: 5\nslots:\n  s: {type: physical}\n")
    (tmp_path / "apply.yml").write_text("loop_wait: 6\nslots: null\nretry_timeout: 7\n")
    result = demo.ctl(
        "edit-config",
        *["-s", "retry_timeout=8"],
        *["--apply", str(tmp_path / "apply.yml")],
        *["--replace", str(tmp_path / "replace.yml")],
        *["--force", "--quiet"],
    )
    assert (result.exit_code, result.output) == (0, "Configuration changed\n")
    assert config(demo) == {"ttl": 50, "loop_wait": 6, "retry_timeout": 8}


def test_edit_config_from_stdin_needs_force(demo: World) -> None:
    """Stdin cannot answer a question too: without --force only the diff is shown."""
    shown = demo.ctl("edit-config", "--apply", "-", stdin="ttl: 60\n")
    assert shown.exit_code == 0
    assert "+ttl: 60" in shown.output
    assert config(demo)["ttl"] == 30
    assert demo.ctl("edit-config", "--apply", "-", "--force", stdin="ttl: 60\n").exit_code == 0
    assert config(demo)["ttl"] == 60


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["-s", "ttl"], None),
        (["-s", "ttl={"], None),
        (["--apply", "/nonexistent.yml"], None),
        (["--apply", "-"], "ttl: 1\nttl: 2\n"),
        (["--apply", "-"], "\tttl: 1\n"),
        (["--replace", "-"], "- a\n- list\n"),
        (["-s", "ttl=.nan"], None),
    ],
)
def test_edit_config_refuses_what_is_no_configuration(
    demo: World, arguments: list[str], stdin: str | None
) -> None:
    """Unreadable input ends with a message and exit code 1, and nothing is written."""
    before = demo.get("config")
    result = demo.ctl("edit-config", "--force", *arguments, stdin=stdin)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert demo.get("config") == before


def test_edit_config_warns_of_what_would_be_ignored(demo: World) -> None:
    """A key that no member reads, or a value that none understands, is named at once."""
    result = demo.ctl("edit-config", "--force", "-s", "postgresql.parameters=text", "-s", "tll=3")
    assert "Warning: tll" in result.stderr
    assert "Warning: postgresql.parameters" in result.stderr


def test_edit_config_notices_a_concurrent_change(
    demo: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was faster: their change stays, ours is refused."""

    def confirm(question: str) -> bool:
        demo.put("config", {"ttl": 99})
        return True

    monkeypatch.setattr(click, "confirm", confirm)
    result = demo.ctl("edit-config", "-s", "ttl=40")
    assert result.exit_code == 1
    assert "Config modification aborted due to concurrent changes" in result.stderr
    assert config(demo) == {"ttl": 99}


def editor(tmp_path: Path, script: str) -> str:
    """An editor that is a shell script; its argument is the file."""
    path = tmp_path / "editor.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return f"{path} --wait"


def test_edit_config_opens_the_editor(
    demo: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options $EDITOR gets the YAML, and what it saves is the new configuration."""
    script = f'cp "$2" {tmp_path}/seen.yaml; case "$2" in *.yaml) echo "ttl: 33" > "$2";; esac'
    monkeypatch.setenv("EDITOR", editor(tmp_path, script))
    result = demo.ctl("edit-config", "--force")
    assert result.exit_code == 0, result.output
    assert config(demo) == {"ttl": 33}
    seen = yaml.safe_load((tmp_path / "seen.yaml").read_text())
    assert seen == {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}


def test_edit_config_stops_when_the_editor_fails(
    demo: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor that fails, or is not there, changes nothing."""
    monkeypatch.setenv("EDITOR", editor(tmp_path, "exit 3"))
    result = demo.ctl("edit-config", "--force")
    assert result.exit_code == 1
    assert "failed with exit code 3" in result.stderr
    monkeypatch.setenv("EDITOR", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "EDITOR is not set" in demo.ctl("edit-config", "--force").stderr
