"""Run benchmark cases: `python -m bench --case switchover --runs 5 --implementations hae,patroni`.

The implementations alternate within one session, and change places from run to run. Each run gets
a cluster of its own; its result is appended to RESULTS/results.jsonl as one JSON line.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import daemon_loss, faults, rest, steady
from bench.case import Case
from tests.e2e.support.cluster import Cluster, daemon_command
from tools.servers import find_postgres

ALL: tuple[Case, ...] = (*faults.CASES, *daemon_loss.CASES, *steady.CASES, *rest.CASES)


def main() -> None:
    """Run the cases asked for; exits 1 when a run failed."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--case", default="all", help="all, or names separated by commas")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--implementations", default="hae,patroni")
    parser.add_argument("--results", type=Path, default=Path("build/bench"))
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{case.name:18} {case.title}" for case in ALL))
        return
    # As Ctrl-C does: the cluster of the present run is ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.results.mkdir(parents=True, exist_ok=True)
    implementations = options.implementations.split(",")
    for name in implementations:
        daemon_command(name)
    failures = 0
    for case in chosen(options.case):
        for number in range(1, options.runs + 1):
            order = implementations if number % 2 else implementations[::-1]
            for implementation in order:
                if implementation in case.only:
                    failures += not run(case, implementation, number, options.results)
    sys.exit(1 if failures else 0)


def chosen(names: str) -> list[Case]:
    """Return the cases by name; ends the program when one is unknown."""
    if names == "all":
        return [case for case in ALL if case.in_all]
    known = {case.name: case for case in ALL}
    wrong = [name for name in names.split(",") if name not in known]
    if wrong:
        sys.exit(f"bench: no case {', '.join(wrong)}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def run(case: Case, implementation: str, number: int, results: Path) -> bool:
    """Do one run and note its result; False when it failed."""
    folder = Path(tempfile.mkdtemp(prefix="hae-bench-"))
    line: dict[str, Any] = {
        "case": case.name,
        "implementation": implementation,
        "run": number,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    started = time.monotonic()
    try:
        with case.cluster(folder, implementation) as cluster:
            if case.started:
                cluster.start()
                cluster.wait_healthy(120)
            line["measures"] = case.work(cluster)
            line["setting"] = setting(cluster)
    except Exception as error:  # one failed run must not end the session
        line["error"] = f"{type(error).__name__}: {error}"
        keep_logs(folder, results / f"failed-{case.name}-{implementation}-{number}")
    line["seconds"] = round(time.monotonic() - started, 1)
    shutil.rmtree(folder, ignore_errors=True)
    with (results / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    shown = line.get("error") or " ".join(f"{k}={v:.4g}" for k, v in line["measures"].items())
    print(f"{case.name} {implementation} {number}: {shown}", flush=True)
    return "error" not in line


def setting(cluster: Cluster) -> dict[str, Any]:
    """Return what the numbers depend on, for the report."""
    assert cluster.store is not None
    return {
        "timing": {key: cluster.dynamic[key] for key in ("ttl", "loop_wait", "retry_timeout")},
        "postgresql": find_postgres()[0].version,
        "etcd": cluster.store.version(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def keep_logs(folder: Path, target: Path) -> None:
    """Keep the daemons' logs of a failed run."""
    target.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*/*.log"):
        shutil.copyfile(log, target / f"{log.parent.name}-{log.name}")


if __name__ == "__main__":
    main()
