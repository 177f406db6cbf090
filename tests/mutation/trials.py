"""The trial of each mutant: in a process of its own, forked where most is loaded already.

Belongs here: processes, their time limit, and the file of the results.  A process for each module
loads what does not depend on it; from there each mutant is forked, loaded, and asked about.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Container, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tests.mutation import imports, killers
from tests.mutation.mutants import ROOT, Mutant

SECONDS = 240.0  # for one mutant, on a busy machine; most are over in half a second


@dataclass(frozen=True)
class Result:
    """How a mutant ended: killed `by` a stage that `found` something, or `survived` the stages."""

    name: str
    module: str
    operator: str
    digest: str
    by: str  # empty: it survived
    found: str
    deep: bool  # whether the slow stages were asked too


class Results:
    """The results so far, one a line, so that a run that is ended goes on where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._found = {x.name: x for x in (Result(**json.loads(line)) for line in lines)}
        self._former = {name: x for name, x in self._found.items() if x.by}

    def of(self, mutant: Mutant) -> Result | None:
        """The result of that mutant, if what it changes is as it was."""
        found = self._found.get(mutant.name)
        return found if found is not None and found.digest == mutant.digest else None

    def former(self, mutant: Mutant) -> str:
        """Which check noticed it before its function, or its tests, changed; empty if none did."""
        found = self._former.get(mutant.name)
        return found.found if found is not None else ""

    def forget_survivors(self, known: Container[str]) -> None:
        """Let what has lived be tried again, but for those that are known to live."""
        self._found = {name: x for name, x in self._found.items() if x.by or name in known}

    def add(self, result: Result) -> None:
        """Keep a result at once."""
        self._found[result.name] = result
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def swap(todo: list[Mutant], results: Results) -> Iterator[Mutant]:
    """Try the mutants of all modules in one process; give those that have to be loaded anew."""
    for mutant, answer in _in_a_child(partial(_swaps, results=results), todo):
        if answer is None:
            yield mutant
        else:
            results.add(_result(mutant, *answer, deep=False))


def load(path: Path, todo: list[Mutant], results: Results, *, deep: bool) -> None:
    """Try these mutants of one module in processes of their own; `deep`: by the slow stages."""
    trials = partial(_trials, path=path, results=results, deep=deep)
    for mutant, answer in _in_a_child(trials, todo):
        assert answer is not None
        results.add(_result(mutant, *answer, deep=deep))


def _result(mutant: Mutant, by: str, found: str, *, deep: bool) -> Result:
    name, module = mutant.name, mutant.module
    return Result(name, module, mutant.operator, mutant.digest, by, found, deep)


Answer = tuple[str, str]  # who killed a mutant, and what was found; empty: nobody
Trials = Callable[[list[Mutant]], "Iterator[Answer | None]"]


def _in_a_child(trials: Trials, todo: list[Mutant]) -> Iterator[tuple[Mutant, Answer | None]]:
    """Fork the process that loads what all trials share, and read the answers from it."""
    if not todo:
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            try:
                for number, answer in enumerate(trials(todo)):
                    print(json.dumps([number, answer]), file=out, flush=True)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            number, answer = json.loads(line)
            yield todo[number], tuple(answer) if answer is not None else None
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("the trials ended early")


def _swaps(todo: list[Mutant], results: Results) -> Iterator[Answer | None]:
    from tests.mutation.swaps import Swapper

    swapper = Swapper()
    for mutant in todo:
        yield swapper.killer(mutant, results.former(mutant))


def _trials(todo: list[Mutant], path: Path, results: Results, *, deep: bool) -> Iterator[Answer]:
    """In a process for each, from the mutant's source."""
    name = imports.module_name(path.relative_to(ROOT).as_posix())
    imports.load_all_but(name, killers.NEEDED)
    gc.collect()
    gc.freeze()
    sound = _trial(name, path, path.read_text(), "", deep=deep)
    if sound[0]:
        raise RuntimeError(f"without a mutant, {sound[0]} fails: {sound[1]}")
    for mutant in todo:
        yield _trial(name, path, mutant.source, results.former(mutant), deep=deep)


def _trial(name: str, path: Path, source: str, former: str, *, deep: bool) -> tuple[str, str]:
    """(who killed it, what was found); the first is empty for a survivor."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        try:
            answer = _ask(name, path, source, former, deep=deep)
        except BaseException as error:
            answer = ("an exception", f"{type(error).__name__}: {error}")
        os.write(writing, json.dumps([answer[0], answer[1][:300]]).encode())
        os._exit(0)
    os.close(writing)
    try:
        return _answer(child, reading)
    finally:
        os.close(reading)


def _ask(name: str, path: Path, source: str, former: str, *, deep: bool) -> tuple[str, str]:
    sys.meta_path.insert(0, imports.Changed(name, path, source))
    try:
        compile(source, str(path), "exec")
    except SyntaxError as error:
        return "nothing", f"no program: {error}"
    if deep:
        return _slowly()
    try:
        from tests.mutation.checks import all_checks, passes

        checks = sorted(all_checks(), key=lambda x: x.name != former)
    except Exception as error:
        return "loading", f"{type(error).__name__}: {error}"
    return next(((x.stage, x.name) for x in checks if not passes(x)), ("", ""))


def _slowly() -> tuple[str, str]:
    for stage, killer in killers.SLOW.items():
        try:
            found = killer()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        if found is not None:
            return stage, found
    return "", ""


def _answer(child: int, reading: int) -> tuple[str, str]:
    ends = time.monotonic() + SECONDS
    text = b""
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, ends - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "the time limit", f"{SECONDS:g} s"
        part = os.read(reading, 65536)
        if not part:
            break
        text += part
    status = os.waitpid(child, 0)[1]
    if not text:
        return "an exception", f"the process ended with {status}"
    by, found = json.loads(text)
    return by, found
