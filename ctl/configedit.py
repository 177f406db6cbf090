"""`show-config` and `edit-config`: the dynamic configuration, seen and changed."""

import copy
import difflib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from ctl import options
from ctl.context import Access, Settings, refuse
from shell import layout
from shell.config.dynamic import check_dynamic, merge_patch
from shell.config.loading import Loaded, load_path, load_text
from shell.config.problems import has_errors

_PARAMETERS = ["postgresql", "parameters"]


@click.command(
    "show-config", epilog=options.epilog("hae ctl show-config", "hae ctl show-config demo")
)
@options.cluster
@options.pass_settings
def show_config(settings: Settings, *, cluster_name: str | None) -> None:
    """Print the dynamic configuration as YAML."""
    with settings.access(cluster_name) as access:
        click.echo(to_yaml(current_config(access)), nl=False)


@click.command(
    "edit-config",
    epilog=options.epilog(
        "hae ctl edit-config demo",
        "hae ctl edit-config demo -s ttl=40 -s postgresql.use_slots=true --force",
        "hae ctl edit-config demo -p max_connections=200 -p work_mem=null",
        "hae ctl edit-config demo --apply changes.yml",
    ),
)
@options.cluster
@click.option("--quiet", "-q", is_flag=True, help="Do not show the changes.")
@click.option(
    "--set",
    "-s",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a value by its path, e.g. ttl=30; null deletes. Repeatable.",
)
@click.option(
    "--pg",
    "-p",
    "pg_sets",
    multiple=True,
    metavar="PARAMETER=VALUE",
    help="Set a PostgreSQL parameter; short for -s postgresql.parameters.PARAMETER=VALUE.",
)
@click.option("--apply", "apply_file", metavar="FILE", help="Merge a YAML file (- for stdin).")
@click.option("--replace", "replace_file", metavar="FILE", help="Replace everything by a file.")
@options.force
@options.pass_settings
def edit_config(
    settings: Settings,
    *,
    cluster_name: str | None,
    quiet: bool,
    sets: tuple[str, ...],
    pg_sets: tuple[str, ...],
    apply_file: str | None,
    replace_file: str | None,
    force: bool,
) -> None:
    """Change the dynamic configuration, with a diff before it is written."""
    with settings.access(cluster_name) as access:
        before = current_config(access)
        revision = access.view.config_revision
        after = copy.deepcopy(before)
        if replace_file:
            after = merge_patch({}, _read_file(replace_file))
        if apply_file:
            after = merge_patch(after, _read_file(apply_file))
        for text in sets:
            after = set_path(after, text, [])
        for text in pg_sets:
            after = set_path(after, text, _PARAMETERS)
        if not (replace_file or apply_file or sets or pg_sets):
            after = _edit(before, access.name)
        if after == before:
            if not quiet:
                click.echo("Not changed")
            return
        _warn(before, after)
        if not quiet:
            _show_diff(difference(before, after))
        if "-" in (apply_file, replace_file) and not force:
            click.echo("Use --force option to apply changes")
            return
        if not force and not click.confirm("Apply these changes?"):
            refuse("Aborting: nothing was changed")
        write_config(access, after, revision)
        click.echo("Configuration changed")


# --- values ---------------------------------------------------------------------------------------


def to_yaml(value: Mapping[str, Any]) -> str:
    """The configuration as people edit it: block style, sorted keys."""
    if not value:
        return ""
    return yaml.safe_dump(plain(value), default_flow_style=False, allow_unicode=True, width=200)


def plain(value: Any) -> Any:
    """The same value in JSON's types only, as every member will read it."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        return refuse(f"this cannot be stored as JSON: {error}")


def set_path(config: Mapping[str, Any], text: str, prefix: Sequence[str]) -> dict[str, Any]:
    """Apply one `key.path=yaml`; null deletes.  Below postgresql.parameters dots stay in names."""
    path_text, equals, value_text = text.partition("=")
    if not equals or not path_text.strip():
        refuse(f"Invalid parameter setting {text!r}: expected KEY=VALUE")
    path = _split([*prefix], path_text.strip())
    value = _parse_value(value_text, path_text)
    patch: Any = value
    for key in reversed(path):
        patch = {key: patch}
    if isinstance(value, dict):  # a mapping given by --set replaces the old one
        removal: Any = None
        for key in reversed(path):
            removal = {key: removal}
        config = merge_patch(config, removal)
    return merge_patch(config, patch)


def _split(prefix: list[str], text: str) -> list[str]:
    if prefix == _PARAMETERS:
        return [*prefix, text]
    dotted = ".".join(_PARAMETERS) + "."
    if text.startswith(dotted):
        return [*_PARAMETERS, text.removeprefix(dotted)]
    return [*prefix, *text.split(".")]


def _parse_value(text: str, path: str) -> Any:
    loaded = load_text(f"value: {text}", f"the value of {path}")
    if has_errors(loaded.problems):
        refuse("\n".join(str(problem) for problem in loaded.problems))
    return plain(loaded.data.get("value"))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A unified diff of both as YAML."""
    lines = difflib.unified_diff(
        to_yaml(before).splitlines(keepends=True), to_yaml(after).splitlines(keepends=True)
    )
    return "".join(lines)


# --- reading and writing --------------------------------------------------------------------------


def current_config(access: Access) -> Mapping[str, Any]:
    """The dynamic configuration; refuses when the key is missing."""
    view = access.view
    if not view.config_revision:
        refuse(f"The config key does not exist in the cluster {view.name}")
    return view.config


def _read_file(name: str) -> dict[str, Any]:
    return _usable(load_text(sys.stdin.read(), "stdin") if name == "-" else load_path(Path(name)))


def _usable(loaded: Loaded) -> dict[str, Any]:
    if has_errors(loaded.problems):
        refuse("the configuration cannot be used:\n" + "\n".join(map(str, loaded.problems)))
    value = plain({str(key): item for key, item in loaded.data.items()})
    return dict(value)


def _edit(before: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Let the operator's editor change it; refuses when there is none or it fails."""
    command = _editor()
    with tempfile.NamedTemporaryFile(
        "w", prefix=f"{name}-config-", suffix=".yaml", encoding="utf-8", delete=False
    ) as file:
        file.write(to_yaml(before))
    path = Path(file.name)
    try:
        # The editor belongs to a person: its time is not ours to bound.
        code = subprocess.run([*command, str(path)], check=False).returncode
        if code:
            refuse(f"the editor {command[0]} failed with exit code {code}: nothing was changed")
        return merge_patch({}, _usable(load_path(path)))
    finally:
        path.unlink(missing_ok=True)


def _editor() -> list[str]:
    named = shlex.split(os.environ.get("EDITOR", ""))
    for command in [named, ["editor"], ["vi"]]:
        if command and shutil.which(command[0]):
            return command
    return refuse("EDITOR is not set, and neither `editor` nor `vi` was found")


def _warn(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Name what the members would ignore or adjust, if this change brings it in."""
    known = {str(problem) for problem in check_dynamic(before)}
    for problem in check_dynamic(after):
        if str(problem) not in known:
            click.echo(f"Warning: {problem}", err=True)


def _show_diff(text: str) -> None:
    if sys.stdout.isatty():
        colors = {"+": "green", "-": "red", "@": "cyan"}
        lines = [click.style(line, fg=colors.get(line[:1])) for line in text.splitlines()]
        click.echo_via_pager("\n".join(lines) + "\n")
    else:
        click.echo(text)


def write_config(access: Access, config: Mapping[str, Any], revision: int) -> None:
    """Replace the dynamic configuration of that revision; refuses when somebody was faster."""
    text = layout.compact(plain(config))
    if not access.store.replace(layout.CONFIG, text, revision, access.deadline()):
        refuse("Config modification aborted due to concurrent changes: look again and repeat")
