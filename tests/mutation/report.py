"""docs/mutants.md: the figures of a run, and every mutant that lived with the reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from tests.mutation.mutants import ROOT
from tests.mutation.trials import Result

PAGE = ROOT / "docs" / "mutants.md"
INTRODUCTION = """\
# Mutants

Written by `make mutation`; do not edit. A mutant is the engine with one small mistake in it: a fact
that a rule does not ask, two rules in the wrong order, `<` for `<=`, an `if` that is never so.
Tests that are worth something notice it; they *kill* it.

The mutants are made with [cosmic-ray](https://pypi.org/project/cosmic-ray/): by operators of its
own, and by some that know what a rule is (`tests/mutation/operators.py`). Each is asked, until one
notices:

1. *a scenario*, *a near miss*, *an answer* of a fact, *a detail* of an action, *the order* of
   rules: the recorded decisions of `tests/scenarios/`;
2. *a unit test* of `tests/unit/engine/` that draws nothing;
3. the slow ones, of what lives for no reason that is written down (with `DEEP=1` of all that
   lives): what *an explanation* says would change a decision, for every scenario; *a promise*
   (`proof/promises.py`), asked of every scenario as it is and with one change; *a property* of
   `tests/properties/`, with few examples; *the simulator*, a dozen runs.

*Loading* is the engine itself, when it refuses a mutant.

Left out by rule, because they decide nothing: texts (`title`, `why`, `question`, what a fact shows,
f-strings), types, assertions, imports, decorators; neighbouring rules of which one asks for the
opposite of what the other asks; of cosmic-ray's operators those whose mutants only raise (`-` for
`/`, `is` for `==`). Tests that compare the engine with a text made of it (the decision table, the
layout of the code) are not asked: they would notice everything.
"""


def page(tried: Sequence[Result], made: Counter[str], known: dict[str, str], revision: str) -> str:
    """The whole page; `made` counts the mutants of each module, tried or not."""
    lived = [x for x in tried if not x.by]
    killed, total = len(tried) - len(lived), sum(made.values())
    slow = sum(x.deep for x in tried)
    share = 100 * killed / len(tried) if tried else 0.0
    rest = "" if len(tried) == total else f" {total - len(tried):,} were not tried."
    parts = [
        INTRODUCTION,
        (
            f"At revision {revision}: {total:,} mutants, {len(tried):,} tried, "
            f"**{killed:,} killed ({share:.1f} %)**, {len(lived):,} lived.{rest} "
            f"The slow ones were asked of {slow:,}.\n"
        ),
        _table("killed by", _counts(x.by for x in tried if x.by)),
        _shares("operator", tried, lambda x: x.operator, Counter()),
        _shares("module", tried, lambda x: x.module, made),
        "## Who lived\n",
        *_lived(lived, known),
    ]
    return "\n".join(parts)


def _counts(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, f"{n:,}") for name, n in Counter(names).most_common()]


def _table(head: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head} | mutants |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    return "\n".join(lines) + "\n"


def _shares(
    head: str, tried: Sequence[Result], key: Callable[[Result], str], made: Counter[str]
) -> str:
    by_key: defaultdict[str, list[Result]] = defaultdict(list)
    for x in tried:
        by_key[key(x)].append(x)
    lines = [f"| {head} | tried | killed | lived | |", "|---|---|---|---|---|"]
    for name in sorted({*by_key, *made}):
        found = by_key[name]
        lived = sum(not x.by for x in found)
        share = f"{100 * (len(found) - lived) / len(found):.0f} %" if found else "not tried"
        lines.append(f"| `{name}` | {len(found)} | {len(found) - lived} | {lived} | {share} |")
    return "\n".join(lines) + "\n"


def _lived(lived: Sequence[Result], known: dict[str, str]) -> list[str]:
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for x in lived:
        by_reason[known.get(x.name, "Not explained.")].append(x.name)
    parts = []
    for reason in sorted(by_reason):
        names = "\n".join(f"- {_quoted(name)}" for name in sorted(by_reason[reason]))
        parts.append(f"{reason}\n\n{names}\n")
    return parts


def _quoted(name: str) -> str:
    return "`` " + name.removeprefix("engine/") + " ``"
