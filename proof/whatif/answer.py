"""Many runs of one question, told as one answer.

Belongs here: counting, and choosing what is worth telling.  Does not belong here: how it is printed
(`ctl/whatif_text.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from engine import actions as a
from engine.decide import RULES
from proof.whatif import limits
from proof.whatif.picture import Picture
from proof.whatif.questions import Question
from proof.whatif.run import Run, live
from proof.whatif.watched import Event

_TAKES_OVER = frozenset({a.AcquireLock, a.Promote})
_STARTS_AGAIN = frozenset({a.StartPostgres, a.RecoverFromCrash})
_GOES_ON = frozenset({a.AskFailsafe})
_SYNCHRONOUS = frozenset({a.SetSyncNames, a.WriteSync, a.DeleteSync})
_STOPS = frozenset({a.StopPostgres, a.Exit})


@dataclass(frozen=True, slots=True)
class Told:
    """A rule that decided something: whose, what it says, why, and in how many runs."""

    name: str
    rule: str
    title: str
    why: str
    runs: int
    saw: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """What may be lost.  `known_bytes` by the present positions; None: nothing can be said.

    `safe_by` says why nothing can be (else empty).  `seconds` of writes that the old primary goes
    on to acknowledge come on top, `bytes_then` at the present rate (None: the rate is not known).
    `bound_bytes` is what a failover at another moment could lose: maximum_lag_on_failover behind
    the position published last, and what is written until the next one is; None: not known.
    """

    known_bytes: int | None = 0
    safe_by: str = ""
    seconds: float = 0.0
    bytes_then: int | None = 0
    bound_bytes: int | None = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which it can end.  `leader` takes writes then; None: nobody does.

    Seconds without an acknowledged write: None where they do not come back by themselves.
    """

    leader: str | None
    runs: int
    out_best_seconds: float | None
    out_median_seconds: float | None
    out_worst_seconds: float | None
    by: tuple[Told, ...]
    loss: Loss


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes of one question.  `endings` are the most frequent first.

    `held_back` says, of each member that did not take over, by which rule.  `old_primary` is what
    the old primary does by itself, where it lives on.  `story` is one of the runs.
    """

    question: str
    asks: str
    runs: int
    endings: tuple[Ending, ...]
    held_back: tuple[Told, ...] = ()
    old_primary: str = ""
    story: tuple[Event, ...] = ()
    doubts: tuple[str, ...] = ()


def ask(picture: Picture, question: Question, runs: int) -> Answer:
    """Live through the question that many times, each with other moments and speeds."""
    limits.check(picture)
    lived = [live(picture, question, seed) for seed in range(runs)]
    counted = Counter(run.leader for run in lived).most_common()
    endings = tuple(
        _ending(picture, leader, [run for run in lived if run.leader == leader])
        for leader, _ in counted
    )
    typical = [run for run in lived if run.leader == counted[0][0]]
    return Answer(
        question=question.name,
        asks=question.asks,
        runs=runs,
        endings=endings,
        held_back=_held_back(picture, question, lived),
        old_primary=_old_primary(picture, question, lived),
        story=_middle(typical).events,
        doubts=_doubts(lived),
    )


def _middle(runs: Sequence[Run]) -> Run:
    """The run whose outage is the median one."""
    ordered = sorted(runs, key=lambda run: run.out_seconds or 0.0)
    return ordered[len(ordered) // 2]


# --- one ending -----------------------------------------------------------------------------------


def _ending(picture: Picture, leader: str | None, runs: list[Run]) -> Ending:
    out = [run.out_seconds for run in runs if run.out_seconds is not None]
    return Ending(
        leader=leader,
        runs=len(runs),
        out_best_seconds=min(out) if out else None,
        out_median_seconds=median(out) if out else None,
        out_worst_seconds=max(out) if out else None,
        by=_deciding(picture, leader, runs),
        loss=_loss(picture, leader, runs),
    )


def _deciding(picture: Picture, leader: str | None, runs: list[Run]) -> tuple[Told, ...]:
    """The rules that brought this ending about."""
    old = picture.leader
    if leader is None:
        return _rules(runs, old, (_STOPS,))
    if leader != old:
        return _rules(runs, leader, (_TAKES_OVER,))
    return _rules(runs, old, (_STARTS_AGAIN, _GOES_ON, _SYNCHRONOUS))


def _rules(runs: list[Run], name: str, kinds: Sequence[frozenset[type]]) -> tuple[Told, ...]:
    """The rules of that member with such actions, of the first kind that any run shows."""
    for wanted in kinds:
        counted: Counter[str] = Counter()
        for run in runs:
            for rule in dict.fromkeys(_rules_of(run, name, wanted)):
                counted[rule] += 1
        if counted:
            return tuple(_told(name, rule, number) for rule, number in counted.items())
    return ()


def _rules_of(run: Run, name: str, wanted: frozenset[type]) -> list[str]:
    return [e.rule for e in run.events if e.name == name and e.kinds & wanted]


def _told(name: str, rule: str, runs: int, saw: str = "") -> Told:
    known = RULES[rule]
    return Told(name, rule, known.title, known.why, runs, saw)


def _loss(picture: Picture, leader: str | None, runs: list[Run]) -> Loss:
    if leader is None or leader == picture.leader:
        return Loss()
    safe_by = _safe_by(picture, leader)
    if safe_by:
        return Loss(safe_by=safe_by)
    seconds, rate, policy = max(run.lost_seconds for run in runs), picture.rate, picture.policy
    known = max(run.lost_bytes for run in runs)
    return Loss(
        known_bytes=None if picture.part(leader).lag_bytes is None else known,
        seconds=seconds,
        bytes_then=None if rate is None else round(rate * seconds),
        bound_bytes=None
        if rate is None
        else policy.maximum_lag_on_failover_bytes
        + round(rate * (policy.loop_wait_seconds + seconds)),
    )


def _safe_by(picture: Picture, leader: str) -> str:
    """Why no acknowledged commit can be missing there; empty when some may."""
    key = picture.cluster.sync
    if picture.policy.synchronous_mode == "off" or key is None:
        return ""
    if picture.policy.synchronous_mode == "quorum":
        return f"synchronous: {leader} has what enough of the voters have"
    if leader.lower() in {name.lower() for name in key.standbys}:
        return f"synchronous: {leader} has every acknowledged commit"
    return ""


# --- the others -----------------------------------------------------------------------------------


def _held_back(picture: Picture, question: Question, runs: list[Run]) -> tuple[Told, ...]:
    """Why each living member did not lead, in the runs in which it did not."""
    led = {run.leader for run in runs}
    counted: Counter[tuple[str, str]] = Counter()
    saw: dict[tuple[str, str], str] = {}
    for run in runs:
        if run.leader == picture.leader:
            continue
        for name, held in run.held.items():
            if name != run.leader and not (held.rule == "race.acquire" and name in led):
                counted[name, held.rule] += 1
                saw.setdefault((name, held.rule), held.saw)
    told = [_told(*key, counted[key], saw[key]) for key in sorted(counted)]
    if led <= {picture.leader}:
        return tuple(told)
    for part in picture.replicas:
        gone = part.name in question.subjects
        if not gone and not (part.is_up and part.runs):
            why = "its PostgreSQL does not run" if part.is_up else "it is down"
            told.append(Told(part.name, "", why, "", len(runs)))
    return tuple(told)


def _old_primary(picture: Picture, question: Question, runs: list[Run]) -> str:
    """What the old primary does by itself; empty where its machine died, or it stays as it is."""
    old = picture.leader
    stops = [_stop_of(run, old) for run in runs]
    seen = [stop for stop in stops if stop is not None]
    if seen:
        ended = [run.old_stopped_seconds for run in runs if run.old_stopped_seconds is not None]
        how = Counter(event.rule or event.text for event in seen).most_common(1)[0][0]
        when = (
            f"stops taking writes by itself after {median(ended):.0f} s" if ended else "is stopped"
        )
        why = f"{how}: {RULES[how].title}" if how in RULES else how
        return f"{old} {when}, at most {max(ended, default=0.0):.0f} s ({why})"
    if question.cut_off and all(run.old_stopped_seconds is None for run in runs):
        return f"{old} goes on taking writes from whoever reaches it"
    return ""


def _stop_of(run: Run, old: str) -> Event | None:
    """What first ended writes there."""
    for event in run.events:
        fenced = event.text.startswith("the fence")
        if event.name == old and (fenced or event.kinds & _STOPS):
            return event
    return None


def _doubts(runs: list[Run]) -> tuple[str, ...]:
    """What makes the answer less certain."""
    found = []
    unsteady = sum(not run.steady for run in runs)
    if unsteady:
        found.append(
            f"in {unsteady} of {len(runs)} runs the model left the present state before the fault"
        )
    broken = sorted({name for run in runs for name in run.violations})
    if broken:
        found.append(f"the model broke an invariant ({', '.join(broken)}): please report this")
    return tuple(found)
