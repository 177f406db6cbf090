"""The dynamic configuration of the store: patching it, checking it, and the limits of the timing.

It is a plain mapping in the layout that every member of the cluster understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shell.config.checking import Check, lookup
from shell.config.parameters import dynamic_findings
from shell.config.problems import Problem, Severity
from shell.config.schema import default_of
from shell.config.units import parse_seconds

TIMING = ("ttl", "loop_wait", "retry_timeout")
_FLOORS = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
_LOW_FLOORS = {"ttl": 5, "loop_wait": 1, "retry_timeout": 1}


def merge_patch(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `patch` applied: objects recursively, null deletes, the rest replaces.

    A null never stays in the result.  Neither argument is changed.
    """
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merge_patch(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def check_dynamic(
    dynamic: Mapping[str, Any],
    *,
    places: Mapping[tuple[str, ...], str] | None = None,
    prefix: tuple[str, ...] = (),
    unknown: Severity = "warning",
) -> list[Problem]:
    """Return a problem for each value that would be ignored or replaced by its default.

    Values of the wrong type are errors; unknown and misplaced keys and parameters below their
    minimum are warnings.  Timing that is only raised is reported by `clamp_timing`.
    """
    check = Check("dcs", places or {}, unknown, prefix)
    check.walk(dynamic)
    parameters = lookup(check.values, ("postgresql", "parameters")) or {}
    for name, message in dynamic_findings(parameters).items():
        check.report(("postgresql", "parameters", name), message, "warning")
    return check.problems


def clamp_timing(
    dynamic: Mapping[str, Any], *, low_ttl: bool = False
) -> tuple[dict[str, int], list[str]]:
    """Return ttl, loop_wait and retry_timeout within their limits, and a text per adjustment.

    With `low_ttl` the smaller limits apply.  A value that is no time becomes its default here
    without a text, because `check_dynamic` reports it.
    """
    floors = _LOW_FLOORS if low_ttl else _FLOORS
    timing: dict[str, int] = {}
    texts = []
    for name in TIMING:
        parsed = parse_seconds(dynamic.get(name))
        wanted = int(default_of(name)) if parsed is None else parsed
        timing[name] = max(wanted, floors[name])
        if timing[name] != wanted:
            opt_in = " (hae.low_ttl allows 5)" if name == "ttl" and not low_ttl else ""
            texts.append(f"{name}: {wanted} is too small, raised to {timing[name]}{opt_in}")
    return _fit(timing, texts), texts


def _fit(timing: dict[str, int], texts: list[str]) -> dict[str, int]:
    """Make loop_wait + 2*retry_timeout <= ttl hold: a lease must outlive one failed renewal."""
    ttl, loop_wait, retry = (timing[name] for name in TIMING)
    if loop_wait + 2 * retry <= ttl:
        return timing
    fitted = dict(timing)
    if ttl - 2 * retry >= 1:
        fitted["loop_wait"] = ttl - 2 * retry
    else:
        fitted.update(loop_wait=1, retry_timeout=(ttl - 1) // 2)
    texts.extend(
        f"{name}: {timing[name]} reduced to {fitted[name]}, because "
        f"loop_wait + 2*retry_timeout must not exceed ttl ({ttl})"
        for name in ("loop_wait", "retry_timeout")
        if fitted[name] != timing[name]
    )
    return fitted
