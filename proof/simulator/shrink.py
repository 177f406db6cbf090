"""Make a failing run small: leave out whatever the failure does not need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from proof.simulator.draw import Plan
from proof.simulator.run import run
from proof.simulator.steps import Step

MOST_RUNS = 400


def explicit(plan: Plan) -> Plan:
    """The plan with the steps as they were carried out, each with its moment and its names."""
    return replace(plan, steps=run(plan).steps)


def failure(plan: Plan) -> str:
    """The first invariant that a run of the plan breaks; empty if none."""
    violations = run(plan).violations
    return violations[0].invariant if violations else ""


def shrink(plan: Plan) -> Plan:
    """A plan with as few steps as possible that breaks the same invariant (or the same plan)."""
    wanted = failure(plan)
    steps = list(plan.steps)
    left = MOST_RUNS
    size = max(1, len(steps) // 2)
    while size and left > 0:
        at, removed = 0, False
        while at < len(steps) and left > 0:
            fewer = steps[:at] + steps[at + size :]
            left -= 1
            if _fails(plan, fewer, wanted):
                steps, removed = fewer, True
            else:
                at += size
        if not removed or size > 1:
            size = size // 2 if size > 1 else (1 if removed else 0)
    return _earlier_end(replace(plan, steps=tuple(steps)), wanted)


def _fails(plan: Plan, steps: Sequence[Step], wanted: str) -> bool:
    return failure(replace(plan, steps=tuple(steps))) == wanted


def _earlier_end(plan: Plan, wanted: str) -> Plan:
    """Let faults end right after the last step, if that fails as well."""
    last = max((step.at for step in plan.steps), default=0.0)
    sooner = replace(plan, heal_at=last + 1.0)
    return sooner if sooner.heal_at < plan.heal_at and failure(sooner) == wanted else plan
