"""`hae explain`: why a node did, or did not do, what it did; now or at a recorded time."""

import json
from pathlib import Path

import click

from ctl import options, records
from ctl.context import refuse
from ctl.records import Found
from ctl.rest import RestClient, RestError
from engine.rendering import render, what_would_change
from shell.recorder.codec import encode


@click.command(
    epilog=options.epilog(
        "hae explain -c node.yml",
        "hae explain --url http://10.0.0.1:8008",
        "hae explain -c node.yml --at 2026-09-01T02:00:05",
        "hae explain /var/lib/hae/records --at 02:00:05",
    )
)
@click.argument("record", required=False, type=click.Path(path_type=Path))
@click.option("--at", metavar="TIME", help="The decision in force at that time, from the records.")
@click.option(
    "--config-file",
    "-c",
    metavar="FILE",
    help="A node's file: asks the node, or reads its records (with --at, or when it is down).",
)
@click.option("--url", metavar="URL", help="A node's REST API, such as http://10.0.0.1:8008.")
@click.option("--insecure", "-k", is_flag=True, help="Do not verify the node's certificate.")
@options.text_or_json
def explain(
    *,
    record: Path | None,
    at: str | None,
    config_file: str | None,
    url: str | None,
    insecure: bool,
    form: str,
) -> None:
    """Explain a node's decision: the rule that won, its facts, and what would have changed it.

    RECORD is a file or folder of the flight recorder; without it the node itself is asked.
    """
    given = [name for name in (record, config_file, url) if name is not None]
    if len(given) != 1:
        refuse("say where to look: RECORD (a file or folder), -c node.yml, or --url URL")
    epoch = records.moment(at) if at is not None else None
    if record is not None:
        found = records.find_recorded(record, epoch)
    elif url is not None:
        if epoch is not None:
            refuse("--at needs the records: give RECORD or -c node.yml instead of --url")
        found = _live(RestClient({}, insecure=insecure), url)
    else:
        assert config_file is not None
        found = _of_node(config_file, epoch)
    click.echo(_as_json(found) if form == "json" else _as_text(found))


def _live(rest: RestClient, url: str) -> Found:
    address = url if "://" in url else f"http://{url}"
    try:
        return records.find_live(rest, address)
    except RestError as error:
        return refuse(f"no answer from {address}: {error}")


def _of_node(config_file: str, at: float | None) -> Found:
    """Ask the node; a node that is down is explained from what it has recorded."""
    node = records.read_node(config_file)
    if at is not None:
        return records.find_recorded(node.records, at)
    try:
        return records.find_live(node.rest, node.url)
    except RestError as error:
        click.echo(f"{node.url} does not answer ({error}); reading its records", err=True)
        return records.find_recorded(node.records, None)


def _as_text(found: Found) -> str:
    parts = [f"{found.snapshot.me.name}: {found.source}"]
    parts += [f"Note: {note}" for note in found.notes]
    parts += ["", render(found.snapshot, found.decision).rstrip("\n")]
    if changes := what_would_change(found.snapshot, found.decision):
        parts += ["", "what would have changed it:"]
        parts += [f"  {sentence}" for sentence in changes]
    if found.outcomes:
        parts += ["", "how the actions ended:"]
        parts += [f"  {_outcome_text(outcome)}" for outcome in found.outcomes]
    return "\n".join(parts)


def _outcome_text(outcome: object) -> str:
    return outcome if isinstance(outcome, str) else json.dumps(outcome)


def _as_json(found: Found) -> str:
    return json.dumps(
        {
            "name": found.snapshot.me.name,
            "wall": found.snapshot.wall,
            "source": found.source,
            "notes": list(found.notes),
            "fired": list(found.decision.fired),
            "actions": encode(found.decision.actions),
            "trace": encode(found.decision.trace),
            "would_change": what_would_change(found.snapshot, found.decision),
            "outcomes": list(found.outcomes),
            "snapshot": encode(found.snapshot),
        }
    )
