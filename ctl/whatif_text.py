"""The answers of `hae whatif` as a table, in detail, or for machines.

Belongs here: wording and units.  Does not belong here: what the answers are.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from ctl import tables
from ctl.tables import Cell, Column

if TYPE_CHECKING:
    from proof.whatif.answer import Answer, Ending, Loss, Told
    from proof.whatif.picture import Picture

COLUMNS = (
    Column("If"),
    Column("Leads then"),
    Column("Writes out"),
    Column("Lost"),
    Column("Rule"),
)
WIDTH = 96
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
MODEL = (
    "The times are those of the model: the lease, the waits and the order of things are real; a"
    " promotion is taken to need 0.15-0.45 s, a start the same, a crash recovery 0.5-1.5 s."
)


# --- every question, a line each ------------------------------------------------------------------


def as_table(picture: Picture, answers: Sequence[Answer], form: str) -> str:
    """One line for each question; below it what must be known."""
    rows = [_row(answer) for answer in answers]
    if form != "pretty":
        return tables.render(form, COLUMNS, rows)
    runs = answers[0].runs if answers else 0
    title = f"What if: {picture.leader} leads now, {runs} runs each"
    lines = [tables.render(form, COLUMNS, rows, title), *_notes(picture, answers)]
    lines.append(" More about one: hae whatif --if " + (answers[0].question if answers else "..."))
    return "\n".join(lines)


def _row(answer: Answer) -> list[Cell]:
    several = len(answer.endings) > 1
    leads = [
        (ending.leader or "nobody") + (f" {ending.runs}/{answer.runs}" if several else "")
        for ending in answer.endings
    ]
    rules = [told.rule for ending in answer.endings for told in ending.by[:1]]
    return [
        answer.question,
        ", ".join(leads),
        _out(answer.endings),
        _worst_loss(answer.endings),
        ", ".join(dict.fromkeys(rules)) or None,
    ]


def _out(endings: Sequence[Ending]) -> str:
    """The most frequent ending's median, and the worst of all."""
    median = endings[0].out_median_seconds
    worst = [ending.out_worst_seconds for ending in endings]
    if median is None:
        return "for good"
    if None in worst:
        return f"{_seconds(median)}, or for good"
    most = max(w for w in worst if w is not None)
    if not most:
        return "no"
    if not median:
        return f"up to {_seconds(most)}"
    return f"{_seconds(median)} (max {_seconds(most).removesuffix(' s')})"


def _worst_loss(endings: Sequence[Ending]) -> str:
    if all(ending.leader is None for ending in endings):
        return "-"
    losses = [ending.loss for ending in endings]
    if any(loss.known_bytes is None for loss in losses):
        return "unknown"
    worst = max(losses, key=lambda loss: (loss.known_bytes or 0) + (loss.bytes_then or 0))
    if worst.bytes_then is None and worst.seconds:
        return f"{_seconds(worst.seconds)} of writes"
    return _bytes((worst.known_bytes or 0) + (worst.bytes_then or 0))


def _notes(picture: Picture, answers: Sequence[Answer]) -> Iterator[str]:
    doubts = [f"{a.question}: {doubt}" for a in answers for doubt in a.doubts]
    for note in (*picture.notes, *doubts):
        yield from _wrapped(f"Note: {note}", 1)


# --- one question in detail -----------------------------------------------------------------------


def in_detail(picture: Picture, answers: Sequence[Answer]) -> str:
    """Each question with its endings, rules, losses, and one of the runs."""
    lines: list[str] = []
    for answer in answers:
        lines += [f"{answer.question}: {answer.asks}", ""]
        for ending in answer.endings:
            lines += [*_ending_lines(picture, answer, ending), ""]
        lines += _other_lines(answer)
    lines += [*_wrapped(MODEL, 0), *(line.removeprefix(" ") for line in _notes(picture, answers))]
    return "\n".join(lines)


def _ending_lines(picture: Picture, answer: Answer, ending: Ending) -> Iterator[str]:
    share = f"in {ending.runs} of {answer.runs} runs"
    yield f"  {_headline(picture, ending)}, {share}"
    yield f"    writes: {_out_sentence(ending)}"
    if ending.leader not in {None, picture.leader}:
        yield from _wrapped(f"could be lost: {_loss_sentence(picture, ending.loss)}", 4)
    for told in ending.by:
        yield f"    {told.name}: {told.rule}: {told.title}"
        yield from _wrapped(f"why: {told.why}", 6)


def _headline(picture: Picture, ending: Ending) -> str:
    if ending.leader is None:
        return "nobody leads"
    if ending.leader != picture.leader:
        return f"{ending.leader} takes over"
    return (
        f"{ending.leader} goes on" if not ending.out_worst_seconds else f"{ending.leader} leads on"
    )


def _out_sentence(ending: Ending) -> str:
    if ending.out_median_seconds is None or ending.out_worst_seconds is None:
        return "none are taken until somebody repairs it"
    if not ending.out_worst_seconds:
        return "not interrupted"
    median, worst = ending.out_median_seconds, ending.out_worst_seconds
    best = ending.out_best_seconds or 0.0
    return f"out for {_seconds(median)} (at least {_seconds(best)}, at most {_seconds(worst)})"


def _loss_sentence(picture: Picture, loss: Loss) -> str:
    if loss.safe_by:
        return f"nothing ({loss.safe_by})"
    if loss.known_bytes is None:
        return "it is not known how far the new primary is behind"
    parts = [f"{_bytes(loss.known_bytes)} by the positions as they are"]
    if loss.seconds:
        rate = f", {_bytes(loss.bytes_then)} at the present rate" if loss.bytes_then else ""
        parts.append(
            f"and what {picture.leader} acknowledges in the {_seconds(loss.seconds)} until it"
            f" stops{rate}"
        )
    limit = _bytes(picture.policy.maximum_lag_on_failover_bytes)
    bound = f"maximum_lag_on_failover ({limit}) behind the position published last, every"
    bound += f" {_seconds(picture.policy.loop_wait_seconds)}, is the most that a failover accepts"
    if loss.bound_bytes is not None:
        bound += f": {_bytes(loss.bound_bytes)} at the present rate"
    return f"{' '.join(parts)}; {bound}"


def _other_lines(answer: Answer) -> Iterator[str]:
    if answer.held_back:
        yield "  the others"
        for told in answer.held_back:
            yield from _wrapped(_held_sentence(told, answer.runs), 4)
        yield ""
    if answer.old_primary:
        yield from _wrapped(answer.old_primary, 2)
        yield ""
    if answer.story:
        yield "  one of the runs"
        width = max(len(event.name) for event in answer.story)
        for event in answer.story:
            rule = f"{event.rule}: " if event.rule else ""
            yield f"    {event.seconds:6.1f} s  {event.name:{width}}  {rule}{event.text}"
        yield ""


def _held_sentence(told: Told, runs: int) -> str:
    how = f"{told.rule}: {told.title}" if told.rule else told.title
    saw = f" ({told.saw})" if told.saw else ""
    share = f", in {told.runs} of {runs} runs" if told.runs != runs else ""
    return f"{told.name}: {how}{saw}{share}"


def _wrapped(text: str, indent: int) -> list[str]:
    blanks = " " * indent
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=blanks,
        subsequent_indent=blanks + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


# --- for machines ---------------------------------------------------------------------------------


def as_document(picture: Picture, answers: Sequence[Answer], form: str) -> str:
    """Everything, as JSON or YAML."""
    document = {
        "leader": picture.leader,
        "members": [
            {
                "name": part.name,
                "up": part.is_up,
                "running": part.runs,
                "lag_bytes": part.lag_bytes,
                "by_its_own_word": part.snapshot is not None,
            }
            for part in picture.parts
        ],
        "bytes_per_second": picture.rate,
        "notes": list(picture.notes),
        "questions": [_plain(asdict(answer)) for answer in answers],
    }
    if form == "json":
        return json.dumps(document)
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False).rstrip("\n")


def _plain(value: Any) -> Any:
    """Without what is only for this program, and with lists, as both formats have them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key != "kinds"}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return round(value, 2) if isinstance(value, float) else value


# --- units ----------------------------------------------------------------------------------------


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if 0 < seconds < 10 and seconds % 1 else f"{seconds:.0f} s"


def _bytes(number: int | None) -> str:
    value, unit = float(number or 0), _UNITS[0]
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
