"""The simulator, compiled by mypyc: the same sources and the same runs, in almost half the time.

Its options are those of `python -m proof.simulator`, for batches of many thousand runs. Before the
batch it lives through a few runs with and without compilation, and ends if they differ. To
build it takes some minutes, a C compiler and Python's headers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from proof.simulator.__main__ import revision
from tools.copies import walk

CHECKOUT = Path(__file__).resolve().parent.parent
TREE = CHECKOUT / "build/compiled"
PACKAGES = ("engine", "proof", "shell")
# What a run goes through.  The simulator around it draws and counts, which takes no time.
COMPILED = ("engine/**/*.py", "proof/world/*.py", "proof/*.py")
# mypyc's classes can't be generic dataclasses, nor have class variables beside fields, nor go from
# one process to another when frozen; and its functions have no docstrings, which facts are made of.
AS_THEY_ARE = ("engine/observed.py", "engine/actions/", "engine/rule.py", "proof/invariants.py")
COMPARED_RUNS = ("--seed", "1", "--runs", "20", "--jobs", "1")


class CompileError(Exception):
    """Something that whoever called must know and can mend."""


def to_be_compiled(tree: Path) -> list[str]:
    """The modules that become machine code, relative to `tree`."""
    found = {str(path.relative_to(tree)) for pattern in COMPILED for path in tree.glob(pattern)}
    return sorted(name for name in found if not name.startswith(AS_THEY_ARE))


def compilable(source: str) -> str:
    """The source without what mypyc has no need of: its objects have slots by themselves."""
    return source.replace(", slots=True)", ")")


def fingerprint(names: Iterable[str]) -> str:
    """What a build depends on: the sources, this program, and the interpreter."""
    seen = hashlib.sha256(sys.version.encode())
    for name in (*sorted(names), __file__):
        seen.update((CHECKOUT / name).read_bytes())
    return seen.hexdigest()


def build() -> None:
    """Copy the sources to `TREE` and compile them there, unless they are there already.

    Raises CompileError where mypyc or the C compiler fails.
    """
    names = [
        f"{package}/{name}"
        for package in PACKAGES
        for name in walk(CHECKOUT / package, frozenset({"__pycache__"}))
        if name.endswith(".py")
    ]
    stamp, now = TREE / "compiled-from", fingerprint(names)
    if stamp.exists() and stamp.read_text() == now:
        return
    shutil.rmtree(TREE, ignore_errors=True)
    for name in names:
        (TREE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, TREE / name)
    modules = to_be_compiled(TREE)
    for name in modules:
        (TREE / name).write_text(compilable((CHECKOUT / name).read_text()))
    print(f"Compiling {len(modules)} modules into {TREE} (about four minutes)", flush=True)
    log = TREE / "log"
    with log.open("w") as written:
        command = [sys.executable, "-m", "mypyc", "--ignore-missing-imports", *modules]
        environment = {**os.environ, "MYPYC_OPT_LEVEL": "2"}
        ended = subprocess.run(
            command,
            cwd=TREE,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode:
        last = "\n".join(log.read_text().splitlines()[-5:])
        raise CompileError(
            f"{last}\nmypyc failed, {log} says why; it needs gcc and Python's headers"
        )
    stamp.write_text(now)


def told(tree: Path) -> list[str]:
    """What the simulator of that tree tells of the compared runs, but for its speed."""
    ended = subprocess.run(
        [*command_in(tree), *COMPARED_RUNS],
        cwd=tree, env=environment_in(tree), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode not in {0, 1}:
        raise CompileError(f"the simulator in {tree} failed:\n{ended.stderr[-2000:]}")
    return [line for line in ended.stdout.splitlines() if "per second of one core" not in line]


def command_in(tree: Path) -> list[str]:
    """How the simulator of that tree is run: compiled facts have no docstring to insist on."""
    return [sys.executable, *(["-O"] if tree == TREE else []), "-m", "proof.simulator"]


def environment_in(tree: Path) -> dict[str, str]:
    """The environment in which that tree's modules are found first, and know their revision."""
    return {**os.environ, "PYTHONPATH": str(tree), "SIM_REVISION": revision()}


def main() -> None:
    """Build, compare, and become the compiled simulator."""
    try:
        build()
        if told(TREE) != told(CHECKOUT):
            raise CompileError(
                f"compiled runs differ from others: compare {COMPARED_RUNS} in {TREE}"
            )
    except CompileError as trouble:
        sys.exit(f"tools/compiled.py: {trouble}")
    os.chdir(TREE)
    os.execve(sys.executable, [*command_in(TREE), *sys.argv[1:]], environment_in(TREE))  # noqa: S606


if __name__ == "__main__":
    main()
