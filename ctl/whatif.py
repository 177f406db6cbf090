"""`hae whatif`: who would take over, by which rule, with what loss and how soon.

Belongs here: the options, and getting each member's latest snapshot (live, or from records).  Does
not belong here: the model world (`proof/whatif/`), and how answers are printed
(`ctl/whatif_text.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctl import options, records, whatif_text
from ctl.context import load_settings, refuse
from ctl.rest import RestClient, RestError
from engine.state import Known, Member, Snapshot
from shell.recorder.codec import DecodeError, decode

if TYPE_CHECKING:
    from proof.whatif.answer import Answer
    from proof.whatif.picture import Picture
    from proof.whatif.questions import Question

RUNS_OF_ALL = 10
RUNS_OF_ONE = 30
FORMATS = ("pretty", "tsv", "json", "yaml")


@dataclass(slots=True)
class Gathered:
    """Every member's latest snapshot; `silent` says why one gave none."""

    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@click.command(
    epilog=options.epilog(
        "hae whatif -c node.yml                          # every question, a line each",
        "hae whatif -c node.yml --if primary-dies        # one of them, with the reasons",
        "hae whatif -c node.yml --if node:n1,n2          # both are gone",
        "hae whatif --url http://10.0.0.1:8008 -f json",
        "hae whatif --record n1/records --record n2/records --at 02:00:05",
    )
)
@options.cluster
@click.option(
    "--config-file", "-c", metavar="FILE", help="A node's file, or one with scope and store."
)
@click.option("--dcs-url", "--dcs", "-d", envvar="DCS_URL", metavar="URL", help="The store.")
@click.option("--url", metavar="URL", help="A member's REST API, instead of the store.")
@click.option("--insecure", "-k", is_flag=True, help="Do not verify the members' certificates.")
@click.option(
    "--record",
    "recorded",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="A member's flight records (a file or folder), instead of the members; can be repeated.",
)
@click.option("--at", metavar="TIME", help="The cluster as it was then, by the records.")
@click.option(
    "--if",
    "questions",
    multiple=True,
    metavar="WHAT",
    help="primary-dies, primary-killed, postgres-dies, daemon-dies, primary-isolated,"
    " primary-no-store, store-gone, node:NAME, node:NAME,NAME; can be repeated."
    "  Default: all, a line each.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    help="How often to live through each question, every time with other moments and speeds."
    f"  Default: {RUNS_OF_ALL}, or {RUNS_OF_ONE} for those named with --if.",
)
@options.output_format(formats=FORMATS)
def whatif(
    *,
    cluster_name: str | None,
    config_file: str | None,
    dcs_url: str | None,
    url: str | None,
    insecure: bool,
    recorded: tuple[Path, ...],
    at: str | None,
    questions: tuple[str, ...],
    runs: int | None,
    form: str,
) -> None:
    """Ask what would happen: if the primary died now, lost its network, if a member were gone.

    The members' latest decisions are read (nothing is changed), and the real rules live on from
    there in a model world, several times: who takes over, by which rule, how long writes are out,
    and what could be lost.
    """
    if at is not None and not recorded:
        refuse("--at needs the records: give --record")
    if url is not None and (recorded or cluster_name or config_file or dcs_url):
        refuse("--url names a member: give no cluster, configuration or record beside it")
    if recorded:
        found = _from_records(recorded, records.moment(at) if at is not None else None)
    elif url is not None:
        found = _from_member(url, RestClient({}, insecure=insecure))
    else:
        found = _from_store(cluster_name, config_file, dcs_url, insecure)
    picture, answers = _answered(found, questions, runs)
    if form in ("json", "yaml"):
        click.echo(whatif_text.as_document(picture, answers, form))
    elif questions and form == "pretty":
        click.echo(whatif_text.in_detail(picture, answers))
    else:
        click.echo(whatif_text.as_table(picture, answers, form))


def _answered(
    found: Gathered, names: tuple[str, ...], runs: int | None
) -> tuple[Picture, list[Answer]]:
    # Loaded when it is needed: the other commands shall start quickly.
    from proof.whatif import answer, limits, picture, questions  # noqa: PLC0415

    try:
        seen = picture.look(found.snapshots.values(), found.silent)
        limits.check(seen)
        told = limits.noted(seen, tuple(found.notes))
        chosen = [questions.named(name, seen) for name in names] or questions.usual(seen)
    except picture.Unanswerable as error:
        refuse(str(error))
    number = runs or (RUNS_OF_ONE if names else RUNS_OF_ALL)
    return told, [answer.ask(seen, question, number) for question in _shown(chosen)]


def _shown(questions: Sequence[Question]) -> Iterator[Question]:
    """The questions one by one; whoever waits at a terminal sees how many are left."""
    if not sys.stderr.isatty():
        yield from questions
        return
    with click.progressbar(questions, label="living through", file=sys.stderr) as shown:
        yield from shown


# --- where the snapshots come from ----------------------------------------------------------------


def _from_records(paths: Iterable[Path], epoch: float | None) -> Gathered:
    found = Gathered()
    for path in paths:
        one = records.find_recorded(path, epoch)
        name = one.snapshot.me.name
        found.snapshots[name] = one.snapshot
        found.notes.append(f"{name}: {one.source}")
        if one.notes:
            found.notes.append(f"{name} decided by other rules then than those that answer here")
    return found


def _from_store(
    cluster_name: str | None, config_file: str | None, dcs_url: str | None, insecure: bool
) -> Gathered:
    settings = load_settings(config_file, dcs_url, insecure)
    with settings.access(cluster_name) as access:
        members = access.view.record.members
        if not members:
            refuse(f"{access.name} cluster doesn't have any members")
        return _ask_all(access.rest, members)


def _from_member(url: str, rest: RestClient) -> Gathered:
    """Ask that member first, and then all that it knows."""
    address = url if "://" in url else f"http://{url}"
    first = _ask(rest, address)
    if isinstance(first, str):
        refuse(f"{address}: {first}")
    view = first.cluster
    members = view.value.members if isinstance(view, Known) else ()
    found = _ask_all(rest, [m for m in members if m.name != first.me.name])
    found.snapshots[first.me.name] = first
    return found


def _ask_all(rest: RestClient, members: Iterable[Member]) -> Gathered:
    """Ask them side by side."""
    asked, found = list(members), Gathered()
    if not asked:
        return found
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        answers = list(pool.map(lambda member: _ask(rest, member.api_url), asked))
    for member, answer in zip(asked, answers, strict=True):
        if isinstance(answer, str):
            found.silent[member.name] = answer
        elif answer.me.name != member.name:
            found.silent[member.name] = f"at its address is {answer.me.name}"
        else:
            found.snapshots[member.name] = answer
    return found


def _ask(rest: RestClient, api_url: str) -> Snapshot | str:
    """A member's latest snapshot, or why there is none."""
    try:
        answer = rest.call("GET", api_url, "hae/snapshot")
    except RestError as error:
        return f"no answer: {error}"
    try:
        snapshot: Snapshot = decode(Snapshot, answer.document)
    except DecodeError:
        return "it runs Patroni, or another version of hae"
    return snapshot
