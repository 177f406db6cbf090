"""The clock of a model world: what happens when, who waits for what, who is frozen or gone.

Belongs here: moments, tasks (generators that wait) and their owners.  Does not belong here: what
any of them does.  A task yields seconds to wait, or a `Wait` for a signal.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sized
from heapq import heappop, heappush
from typing import Any, TypeAlias

Steps: TypeAlias = Generator[Any, Any, Any]


class Failure(Exception):  # noqa: N818 - a failure of the world, as the shell may meet it
    """What a task may end with; whatever else it raises is a mistake in the engine or the model."""


class Cancelled(Failure):
    """The task was asked to give up; thrown into it where it waits."""


class Life:
    """An owner of moments: a process or a machine.  Frozen, its moments pass when it thaws."""

    __slots__ = ("alive", "frozen", "held", "thaws")

    def __init__(self) -> None:
        self.alive = True
        self.frozen = 0
        self.thaws = 0
        self.held: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def end(self) -> None:
        """Nothing of it happens any more."""
        self.alive = False
        self.held.clear()

    def freeze(self) -> None:
        """Hold back whatever would happen from now on."""
        self.frozen += 1

    def thaw(self) -> None:
        """Let it go on; what was due meanwhile happens now, in order."""
        if not self.frozen:
            return
        self.frozen -= 1
        if not self.frozen:
            self.thaws += 1
            held, self.held = self.held, []
            for happen, given in held:
                if self.alive:
                    happen(*given)


class Clock:
    """True time in seconds, which no host can read, and everything that is due."""

    __slots__ = ("_due", "_order", "now", "tasks")

    def __init__(self) -> None:
        self.now = 0.0
        self.tasks: dict[Task, None] = {}  # begun and not ended
        self._due: list[tuple[float, int, Life | None, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    def at(
        self, moment: float, life: Life | None, happen: Callable[..., None], *given: object
    ) -> None:
        """Let `happen(*given)` be called then, if its owner lives; in order at equal moments."""
        self._order += 1
        now = self.now
        heappush(self._due, (moment if moment > now else now, self._order, life, happen, given))

    def after(
        self, seconds: float, life: Life | None, happen: Callable[..., None], *given: object
    ) -> None:
        """Let `happen(*given)` be called after so many seconds of true time."""
        self._order += 1
        heappush(self._due, (self.now + seconds, self._order, life, happen, given))

    def run(self, until: float, found: Sized) -> None:
        """Let time pass until then, or until something was found."""
        due = self._due
        while due and due[0][0] <= until and not found:
            self.now, _, life, happen, given = heappop(due)
            if life is None:
                happen(*given)
            elif life.alive:
                if life.frozen:
                    life.held.append((happen, given))
                else:
                    happen(*given)
        if not found:
            self.now = max(self.now, until)

    def end(self) -> None:
        """Let go of everything; the garbage collector would close generators from the inside."""
        self._due.clear()
        for task in self.tasks:
            task.close()
        self.tasks.clear()


class Signal:
    """Something that tasks wait for; firing wakes all of them, once."""

    __slots__ = ("_also", "_waiting", "fired", "value")

    def __init__(self) -> None:
        self._waiting: tuple[tuple[Task, int], ...] = ()
        self._also: tuple[Signal, ...] = ()
        self.fired = False
        self.value: Any = None

    def fire(self, value: Any = None) -> None:
        """Wake everybody who waits; who comes later finds it fired, with its first value."""
        if self.fired:
            return
        self.fired, self.value = True, value
        waiting, self._waiting = self._waiting, ()
        for task, turn in waiting:
            task.clock.after(0.0, task.life, task.resume, turn, True)
        for other in self._also:
            other.fire(value)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody would notice that it fires."""
        return bool(self._waiting or self._also)

    def also(self, other: Signal) -> None:
        """Fire that one too, when this one fires."""
        self._also += (other,)

    def add(self, task: Task, turn: int) -> None:
        """Wake this task too, if it still waits in that turn."""
        self._waiting += ((task, turn),)


class Wait:
    """What a task yields to wait for a signal, at most so many seconds; answers whether it came."""

    __slots__ = ("seconds", "signal")

    def __init__(self, signal: Signal, seconds: float | None = None) -> None:
        self.signal = signal
        self.seconds = seconds


class Task:
    """A generator on its way; `ended` fires with what it returned, or None."""

    __slots__ = ("_steps", "_turn", "clock", "ended", "error", "life", "over")

    def __init__(self, clock: Clock, life: Life, steps: Steps, ended: Signal | None = None) -> None:
        self.clock = clock
        self.life = life
        self.ended = ended or Signal()
        self.error: Failure | None = None
        self.over = False
        self._steps = steps
        self._turn = 0

    def start(self) -> Task:
        """Take the first step now."""
        self.clock.tasks[self] = None
        self.resume(0, None)
        return self

    def cancel(self) -> None:
        """Throw `Cancelled` into it, where it waits."""
        if not self.over:
            self._turn += 1
            self._go(self._steps.throw, Cancelled("cancelled"))

    def close(self) -> None:
        """Let go of it where it waits; nobody hears of it."""
        self._steps.close()

    def resume(self, turn: int, answer: Any) -> None:
        """Go on, unless something else has woken it before."""
        if turn == self._turn and not self.over:
            self._turn += 1
            self._go(self._steps.send, answer)

    def _go(self, step: Callable[[Any], Any], what: Any) -> None:
        try:
            wait = step(what)
            while type(wait) is Wait and wait.signal.fired:
                wait = self._steps.send(True)
        except StopIteration as end:
            self._finish(end.value, None)
        except Failure as error:
            self._finish(None, error)
        else:
            turn = self._turn
            if type(wait) is Wait:
                wait.signal.add(self, turn)
                if wait.seconds is not None:
                    self.clock.after(wait.seconds, self.life, self.resume, turn, False)
            else:
                self.clock.after(wait, self.life, self.resume, turn, None)

    def _finish(self, value: Any, error: Failure | None) -> None:
        self.over = True
        self.error = error
        self.clock.tasks.pop(self, None)
        self.ended.fire(value)
