"""The recorded decisions and the unit tests as one list of checks, and what each of them runs.

Belongs here: single checks, so that a mutant is asked only those that run what it changed.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import CodeType, FrameType
from typing import Any

from tests.mutation.mutants import ROOT
from tests.support import answers, details, near_misses, order, scenarios

UNIT = ("tests/unit/engine",)
# These go through every scenario; they are asked last, or not at all.
EXPLANATIONS, PAIRS = "what_would_change_never_promises", "no_pair_of_changes"


@dataclass(frozen=True, slots=True)
class Check:
    """`passes` is true of the engine as it is; `stage` and `name` tell who looks."""

    stage: str
    name: str
    passes: Callable[[], bool]


def all_checks() -> list[Check]:
    """The quick ones first."""
    return [*_recorded(), *_unit_tests()]


def _recorded() -> Iterator[Check]:
    for one in scenarios.all_scenarios():
        yield Check("a scenario", f"{one.rule}: {one.promise}", partial(_decided, one))
    for miss in near_misses.recorded():
        name = f"{miss.rule} needs {miss.fact}"
        yield Check("a near miss", name, partial(_missed, miss))
    for said in answers.recorded():
        yield Check("an answer", said.line, partial(answers.holds, said))
    for name, text in details.recorded().items():
        yield Check("a detail", name, partial(_detailed, name, text))
    for line in order.recorded():
        name = f"{line.rule}{line.how}{line.other}"
        yield Check("the order", name, partial(order.holds, line))


def _decided(scenario: scenarios.Scenario) -> bool:
    return scenario.outcome() == scenario.expected


def _missed(miss: near_misses.NearMiss) -> bool:
    return near_misses.outcome(miss) == miss.instead


def _detailed(name: str, text: str) -> bool:
    return details.detail(name) == text


def _runs_through(test: Callable[..., None], arguments: dict[str, Any]) -> bool:
    test(**arguments)
    return True


def _unit_tests() -> Iterator[Check]:
    for name, test in tests_of(UNIT):
        if EXPLANATIONS not in name and not hasattr(test, "hypothesis"):
            for arguments in calls(test) or ():
                yield Check("a unit test", name, partial(_runs_through, test, arguments))


def passes(check: Check) -> bool:
    """Whether the check passes; an exception is a find as well."""
    try:
        return check.passes()
    except Exception:
        return False


def runs(checks: list[Check], folder: str) -> dict[CodeType, list[int]]:
    """For each function in that folder the numbers of the checks that run it."""
    found: defaultdict[CodeType, list[int]] = defaultdict(list)
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    for number, check in enumerate(checks):
        seen.clear()
        sys.setprofile(note)
        try:
            good = passes(check)
        finally:
            sys.setprofile(None)
        if not good:
            raise RuntimeError(f"without a mutant, {check.stage} fails: {check.name}")
        for code in seen:
            if code.co_filename.startswith(folder):
                found[code].append(number)
    return found


# --- the tests of a folder, without pytest --------------------------------------------------------


def tests_of(folders: tuple[str, ...]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The tests of these folders, with their names."""
    for path in sorted(x for folder in folders for x in (ROOT / folder).glob("test_*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for key, value in vars(importlib.import_module(name)).items():
            if key.startswith("test_") and value.__module__ == name:
                yield f"{path.stem}.{key}", value


def calls(function: Callable[..., Any]) -> Iterator[dict[str, Any]] | None:
    """The arguments of each case of a test; None for one that needs a fixture."""
    marks = [x for x in getattr(function, "pytestmark", []) if x.name == "parametrize"]
    names: set[str] = set()
    choices = []
    for mark in marks:
        keys = mark.args[0]
        keys = [x.strip() for x in keys.split(",")] if isinstance(keys, str) else list(keys)
        names |= set(keys)
        choices.append([_case(keys, x) for x in mark.args[1]])
    given = getattr(function, "hypothesis", None)
    if not given and set(inspect.signature(function).parameters) - names:
        return None
    return ({k: v for x in case for k, v in x.items()} for case in itertools.product(*choices))


def _case(keys: list[str], values: Any) -> dict[str, Any]:
    if type(values).__name__ == "ParameterSet":
        values = values.values
    elif len(keys) == 1:
        values = (values,)
    return dict(zip(keys, values, strict=True))
