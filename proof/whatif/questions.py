"""The questions that can be asked, and what each does to a world.

A question that names nobody is about whoever leads.  What is gone stays gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proof.simulator.steps import Step, perform
from proof.whatif.picture import Picture, Unanswerable
from proof.whatif.watched import Watched
from proof.world.network import STORE

FOR_EVER = "1000000000"
NODE = "node:"


@dataclass(frozen=True, slots=True)
class Question:
    """`name` is what is typed; `asks` the sentence; `subjects` whom it happens to.

    `cut_off` are members that neither clients nor the other members reach any more, although they
    run.
    """

    name: str
    asks: str
    subjects: tuple[str, ...]
    happens: Callable[[Watched], None]
    cut_off: tuple[str, ...] = ()


def usual(picture: Picture) -> tuple[Question, ...]:
    """Every question that needs no choice, and the loss of each other member."""
    others = [part.name for part in picture.replicas if part.is_up]
    return tuple(named(name, picture) for name in (*FAULTS, *(NODE + name for name in others)))


def named(text: str, picture: Picture) -> Question:
    """The question of that name; raises Unanswerable with the known ones."""
    if text.startswith(NODE):
        return _nodes(text, picture)
    if text not in FAULTS:
        known = ", ".join((*FAULTS, f"{NODE}NAME", f"{NODE}NAME,NAME"))
        raise Unanswerable(f"there is no question {text}; known are {known}")
    return FAULTS[text](text, picture.leader)


def _nodes(text: str, picture: Picture) -> Question:
    wanted = tuple(dict.fromkeys(text.removeprefix(NODE).split(",")))
    names = {part.name for part in picture.parts}
    for name in wanted:
        if name not in names:
            raise Unanswerable(f"{name} is no member (members: {', '.join(sorted(names))})")

    def happens(world: Watched) -> None:
        for name in wanted:
            _do(world, "crash-host", name, FOR_EVER)

    verb = "is" if len(wanted) == 1 else "are"
    return Question(text, f"{' and '.join(wanted)} {verb} gone, machine and all", wanted, happens)


def _do(world: Watched, name: str, *words: str) -> None:
    perform(world, Step(0.0, name, words))


# --- what happens to the primary, or to the store -------------------------------------------------


def _primary_dies(name: str, leader: str) -> Question:
    return Question(
        name,
        f"the machine of {leader}, the primary, dies and stays away",
        (leader,),
        lambda world: _do(world, "crash-host", leader, FOR_EVER),
    )


def _killed(name: str, leader: str) -> Question:
    def happens(world: Watched) -> None:
        world.hosts[leader].wanted_running = False
        _do(world, "kill-postgres", leader)
        _do(world, "kill-daemon", leader)

    asks = f"daemon and PostgreSQL of {leader}, the primary, are killed; its machine lives"
    return Question(name, asks, (leader,), happens)


def _postgres_dies(name: str, leader: str) -> Question:
    return Question(
        name,
        f"the postmaster of {leader}, the primary, is killed; its daemon lives",
        (leader,),
        lambda world: _do(world, "kill-postgres", leader),
    )


def _daemon_dies(name: str, leader: str) -> Question:
    def happens(world: Watched) -> None:
        world.hosts[leader].wanted_running = False
        _do(world, "kill-daemon", leader)

    asks = f"the daemon of {leader}, the primary, is killed and nothing starts it again"
    return Question(name, asks, (leader,), happens)


def _isolated(name: str, leader: str) -> Question:
    asks = f"{leader}, the primary, loses its network: no store, no members, no clients"
    return Question(
        name,
        asks,
        (leader,),
        lambda world: _do(world, "isolate", leader, FOR_EVER),
        cut_off=(leader,),
    )


def _loses_store(name: str, leader: str) -> Question:
    return Question(
        name,
        f"{leader}, the primary, does not reach the store any more; everything else does",
        (leader,),
        lambda world: _do(world, "split", leader, STORE, FOR_EVER),
    )


def _store_gone(name: str, _leader: str) -> Question:
    return Question(
        name,
        "the store answers nobody any more, and stays away",
        (),
        lambda world: _do(world, "store-down", "silent", FOR_EVER, "anew"),
    )


FAULTS: dict[str, Callable[[str, str], Question]] = {
    "primary-dies": _primary_dies,
    "primary-killed": _killed,
    "postgres-dies": _postgres_dies,
    "daemon-dies": _daemon_dies,
    "primary-isolated": _isolated,
    "primary-no-store": _loses_store,
    "store-gone": _store_gone,
}
