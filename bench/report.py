"""Render results as a page: `python -m bench.report build/bench docs/benchmarks.md`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.__main__ import ALL
from bench.case import Case, Goal

INTRODUCTION = """\
# Benchmarks against Patroni

Written by `make bench` (`python -m bench.report`); do not edit.

Three nodes on one machine, etcd v3, PostgreSQL {postgresql}, the same node files for both,
ttl/loop_wait/retry_timeout 30/10/10 unless the case says otherwise, Patroni {patroni} from PyPI,
alternating runs. A fault comes after a random delay within one `loop_wait`. A writer inserts about
200 numbered rows a second through a libpq multi-host string (`target_session_attrs=read-write`),
connects again at once, and notes every acknowledgement; an outage is the longest gap between two.
Shown is the median, with the range and the number of runs. The *ratio* is hae's median to
Patroni's, *goal* is what hae set out to reach.

Again on your machine: `make bench` for all of it (hours), `make bench BENCH=switchover RUNS=5` for
one case. The HTTP cases need ApacheBench (Debian: `apt-get install apache2-utils`).

{machine}
"""

NONSENSE = 1000
"""A ratio as large as this says only that Patroni's value is next to zero."""

LEFT_OUT = 0.005
"""What a ratio to the hundredth does not show: 22 requests in 60.00 s are as many as in 60.01 s."""

Values = dict[tuple[str, str, str], list[float]]


def main() -> None:
    """Read RESULTS/results.jsonl and write the page."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.report RESULTS PAGE")
    results, page = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        text = (results / "results.jsonl").read_text()
    except OSError as error:
        sys.exit(f"bench.report: no results to report: {error}")
    lines = [json.loads(line) for line in text.splitlines()]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(lines))
    print(f"wrote {page}")


def render(lines: list[dict[str, Any]]) -> str:
    """Return the whole page for the results."""
    values: Values = defaultdict(list)
    for line in lines:
        for measure, value in line.get("measures", {}).items():
            values[line["case"], line["implementation"], measure].append(value)
    failed = [line for line in lines if "error" in line]
    settings: list[dict[str, Any]] = [line["setting"] for line in lines if line.get("setting")]
    setting = settings[-1] if settings else {}
    machine = "Kernel {kernel}, Python {python}, etcd {etcd}.".format_map(defaultdict(str, setting))
    parts = [
        INTRODUCTION.format(postgresql=setting.get("postgresql"), patroni="4.1.5", machine=machine),
        "| fault or work | measure | Patroni | hae | ratio | goal |",
        "|---|---|---|---|---|---|",
    ]
    for case in ALL:
        parts += rows(case, values)
    if failed:
        parts += ["", "Runs that ended with an error, and are not in the numbers:", ""]
        parts += [
            f"- {line['case']}, {line['implementation']}, run {line['run']}: "
            f"{line['error'].splitlines()[0]}"
            for line in failed
        ]
    return "\n".join(parts) + "\n"


def rows(case: Case, values: Values) -> list[str]:
    """Return the table's rows for one case; none when it was not run."""
    found: list[str] = []
    for goal in case.goals:
        hae = values.get((case.name, "hae", goal.measure), [])
        patroni = values.get((case.name, "patroni", goal.measure), [])
        if hae or patroni:
            title = case.title if not found else ""
            cells = [title, goal.title, shown(patroni, goal), shown(hae, goal)]
            found.append(
                f"| {' | '.join([*cells, ratio(hae, patroni), verdict(goal, hae, patroni)])} |"
            )
    return found


def shown(values: list[float], goal: Goal) -> str:
    """Return median, range and count, such as `2.39 s (2.31-2.52; 5)`."""
    if not values:
        return "-"
    if goal.unit == "runs":
        return f"{sum(1 for value in values if value)} of {len(values)}"
    unit = f" {goal.unit}" if goal.unit else ""
    return (
        f"{number(median(values))}{unit} "
        f"({number(min(values))}-{number(max(values))}; {len(values)})"
    )


def number(value: float) -> str:
    """Return three significant digits, without an exponent."""
    if value == float("inf"):
        return "never"
    if abs(value) < 0.0005:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratio(hae: list[float], patroni: list[float]) -> str:
    """Return hae's median as a multiple of Patroni's; nothing where that is next to nothing."""
    if not hae or not patroni or median(patroni) in (0, float("inf")):
        return ""
    times = median(hae) / median(patroni)
    return f"{times:.2f}x" if times < NONSENSE else ""


def verdict(goal: Goal, hae: list[float], patroni: list[float]) -> str:
    """Return the goal and whether hae reaches it; empty when nothing was promised."""
    checks: list[tuple[str, bool]] = []
    if goal.times is not None:
        sign = ">=" if goal.more_is_better else "<="
        met = bool(hae and patroni) and (
            median(hae) >= (goal.times - LEFT_OUT) * median(patroni)
            if goal.more_is_better
            else median(hae) <= (goal.times + LEFT_OUT) * median(patroni)
        )
        checks.append((f"{sign} {goal.times:g}x", met))
    if goal.at_most is not None:
        checks.append((f"<= {goal.at_most:g}", bool(hae) and max(hae) <= goal.at_most))
    if goal.worst_to_median is not None:
        met = bool(hae) and max(hae) <= goal.worst_to_median * median(hae)
        checks.append((f"worst <= {goal.worst_to_median:g}x its median", met))
    if not checks or not hae:
        return "; ".join(text for text, _ in checks)
    return "; ".join(f"{text}: {'met' if met else '**not met**'}" for text, met in checks)


if __name__ == "__main__":
    main()
