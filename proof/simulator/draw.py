"""From a seed to a world and its plan: every run draws its own mix of faults ("swarm").

Belongs here: what may happen, how often, and how long.  A fault that the stated assumptions
exclude (docs/safety.md) is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from engine.state import Tags
from proof.simulator.steps import Step
from proof.world.network import STORE
from proof.world.setup import SECONDS, Setup

OCCURRENCES = (
    "lock free",
    "lock taken",
    "promotion",
    "promoted",
    "fence fires",
    "StopPostgres fast",
    "StopPostgres immediate",
    "StartPostgres",
    "Promote",
    "Rewind",
    "Clone",
    "RecoverFromCrash",
    "RunInitdb",
    "RemoveDataDirectory",
)
RARE = 0.15  # share of the runs in which each kind of rare fault happens
# ttl, loop_wait, retry_timeout that an operator may come to prefer.
TIMINGS = ((30, 10, 10), (20, 5, 5), (60, 20, 20), (40, 10, 10), (90, 10, 30))
TARGETS = ("leader", "leader", "replica", "subject", "other")
SLOW_WORK = (
    "hangup",
    "start",
    "recovery",
    "promotion",
    "stop",
    "checkpoint",
    "clone",
    "rewind",
    "quit",
)
FAILING_WORK = ("start", "promotion", "clone", "rewind", "initdb", "roles")


@dataclass(frozen=True)
class Plan:
    """A whole run: the world, what happens in it, and when faults end."""

    setup: Setup
    steps: tuple[Step, ...]
    heal_at: float


class Wish(NamedTuple):
    """What is not left to the seed: how often something happens, about, and of which kinds."""

    pace_seconds: float | None = None
    kinds: tuple[str, ...] = ()  # of `KINDS`; without any all are drawn from

    @property
    def options(self) -> str:
        """As the command line takes it."""
        pace = "" if self.pace_seconds is None else f" --pace {self.pace_seconds:g}"
        return pace + (f" --only {','.join(self.kinds)}" if self.kinds else "")


NO_WISH = Wish()


def draw(seed: int, wish: Wish = NO_WISH) -> Plan:
    """The plan of that seed, as far as nothing else is wished."""
    pace_seconds, only = wish
    r = Random(f"hae simulator {seed}")
    setup = _setup(r, seed)
    kinds = sorted(only or _KINDS)
    wanted = r.sample(kinds, r.randint(1, min(9, len(kinds))))
    quiet = 0.0 if r.random() < 0.2 else 30.0
    length = r.choice((60.0, 60.0, 90.0, 180.0))
    pace = r.choice((3.0, 8.0, 20.0, 40.0))
    pace = pace if pace_seconds is None else pace_seconds
    steps, at = [], quiet
    while at < quiet + length:
        at += r.expovariate(1.0 / pace)
        steps += _steps(r, r.choice(wanted), at, setup)
    rare = Random(f"hae simulator {seed} rare")
    setup, rare_kinds = _rare(rare, setup, wanted)
    rare_kinds = [] if only else rare_kinds
    steps += _rare_steps(rare, setup, rare_kinds, quiet, quiet + length, pace)
    return Plan(setup, tuple(steps), quiet + length + 5.0)


def _rare(r: Random, setup: Setup, wanted: list[str]) -> tuple[Setup, list[str]]:
    """What only some worlds have, of a random stream of its own; which faults go with it.

    No disk is lost where the store may lose all keys: then nothing would tell a member that there
    was a cluster.
    """
    kinds = [kind for kind in ("retime", "stop-replay") if r.random() < RARE]
    if r.random() < RARE:
        kinds.append("watchdog-refuses")
        setup = _watchdogs(r, setup)
    if r.random() < RARE and setup.nodes > 2:
        setup = _cascade(r, setup)
    if r.random() < RARE and "store-loses-all" not in wanted:
        kinds.append("lose-disk")
    return setup, kinds


def _cascade(r: Random, setup: Setup) -> Setup:
    """Members that shall stream from another one; also in a circle, or from nobody there is."""
    names = [f"n{n}" for n in range(1, setup.nodes + 2)]
    tags = tuple(
        replace(tag, replicatefrom=r.choice(names)) if r.random() < 0.5 else tag
        for tag in setup.tags
    )
    return replace(setup, tags=tags)


def _watchdogs(r: Random, setup: Setup) -> Setup:
    having = tuple(f"n{n}" for n in range(1, setup.nodes + 1) if r.random() < 0.85)
    margin = r.choice((5.0, -1.0))
    every, ttl = (float(setup.config[name]) for name in ("loop_wait_seconds", "ttl_seconds"))
    # Where the timeout would be shorter than a loop nobody could lead, as the nodes would say.
    short = (ttl // 2 if margin < 0 else ttl - margin) < 1.2 * every
    mode = "automatic" if short else r.choice(("automatic", "required"))
    local = {**setup.local, "watchdog_mode": mode}
    return replace(setup, watchdogs=having, watchdog_margin_seconds=margin, local=local)


def _rare_steps(
    r: Random, setup: Setup, wanted: list[str], at: float, until: float, pace: float
) -> list[Step]:
    steps: list[Step] = []
    while wanted and at < until:
        at += r.expovariate(1.0 / pace)
        steps += _steps(r, r.choice(wanted), at, setup)
    return steps


def _setup(r: Random, seed: int) -> Setup:
    ttl, loop_wait, retry = r.choice(
        ((30, 10, 10), (30, 10, 10), (20, 5, 5), (60, 20, 20), (5, 1, 1))
    )
    nodes = r.choice((2, 3, 3, 3, 4, 5))
    config: dict[str, object] = {
        "ttl_seconds": float(ttl),
        "loop_wait_seconds": float(loop_wait),
        "retry_timeout_seconds": float(retry),
        "primary_start_timeout_seconds": r.choice((300.0, 60.0, 20.0, 0.0)),
        "maximum_lag_on_failover_bytes": r.choice((1048576, 1048576, 1 << 40)),
        "check_timeline": r.random() < 0.3,
        "use_slots": r.random() < 0.8,
        "parameters": 0,
    }
    config |= _synchronous(r)
    config["failsafe_mode"] = r.random() < 0.25
    fence = r.random() < 0.9
    local: dict[str, object] = {
        "use_pg_rewind": r.random() < 0.7,
        "remove_on_rewind_failure": r.random() < 0.6,
        "remove_on_diverged": r.random() < 0.6,
        "fence_required": fence and (ttl == 5 or r.random() < 0.3),
    }
    drift = r.choice((0.0, 0.001, 0.012))
    speed = r.choice((0.3, 1.0, 1.0, 4.0))
    return Setup(
        nodes=nodes,
        background=f"seed {seed}",
        config=config,
        local=local,
        tags=tuple(_tags(r) for _ in range(nodes)),
        rates=tuple(1.0 + r.uniform(-drift, drift) for _ in range(nodes)),
        store_rate=1.0 + r.uniform(-drift, drift),
        store_slack_seconds=r.choice((0.0, 0.5, 3.0)),
        fence=fence,
        rewindable=r.random() < 0.85,
        network_seconds=r.choice((0.0005, 0.001, 0.01, 0.05)),
        sender_timeout_seconds=r.choice((5.0, 30.0, 60.0)),
        retrieve_retry_seconds=r.choice((0.5, 1.0, 5.0)),
        write_every_seconds=r.choice((0.7, 2.0, 6.0)),
        biggest_write=r.choice((400, 20_000, 3_000_000)),
        seconds={work: seconds * speed for work, seconds in SECONDS.items()},
    )


def _synchronous(r: Random) -> dict[str, object]:
    return {
        "synchronous_mode": r.choice(("off", "off", "on", "quorum")),
        "synchronous_mode_strict": r.random() < 0.3,
        "synchronous_node_count": r.choice((1, 1, 1, 2)),
        "maximum_lag_on_syncnode_bytes": r.choice((-1, -1, 1_000_000)),
    }


def _tags(r: Random) -> Tags:
    return Tags(
        nofailover=r.random() < 0.06,
        failover_priority=r.choice((1, 1, 1, 1, 2, 0 if r.random() < 0.3 else 1)),
        clonefrom=r.random() < 0.2,
    )


def _seconds(r: Random, setup: Setup) -> str:
    """Some time, on both sides of what the lease allows."""
    ttl = float(setup.config["ttl_seconds"])
    seconds = r.choice((0.2, 1.0, 3.0, 0.5 * ttl, ttl, 1.5 * ttl, 3 * ttl))
    return f"{seconds * (0.6 + 0.8 * r.random()):.2f}"


def _member(r: Random, setup: Setup) -> str:
    if r.random() < 0.7:
        return r.choice(TARGETS[:3])
    return f"n{r.randint(1, setup.nodes)}"


def _when(r: Random, at: float, kind: str, words: tuple[str, ...]) -> Step:
    """At that moment, or (what hurts more) just after something has begun."""
    if r.random() < 0.35:
        delay = r.choice((0.0, 0.002, 0.05, 0.3, 1.0, 4.0)) * (0.5 + r.random())
        told = tuple(r.choice(("subject", "other", x)) if x in TARGETS else x for x in words)
        return Step(delay, kind, told, r.choice(OCCURRENCES))
    return Step(at, kind, words)


def _steps(r: Random, kind: str, at: float, setup: Setup) -> list[Step]:
    words = (_KINDS.get(kind) or _RARE_KINDS[kind])(r, setup)
    if kind == "edit" and words[0] in {"ttl_seconds"}:
        return [Step(at, kind, words)]
    return [_when(r, at, kind.partition("/")[0], words)]


def _work(r: Random, setup: Setup) -> tuple[str, ...]:
    return (_member(r, setup), r.choice(SLOW_WORK), f"{r.uniform(1.0, 40.0):.2f}")


def _edits(r: Random, _setup: Setup) -> tuple[str, ...]:
    choices = [
        ("parameters", str(r.randint(1, 9))),
        ("maximum_lag_on_failover_bytes", r.choice(("0", "1048576", "100000000"))),
        ("primary_start_timeout_seconds", r.choice(("0.0", "10.0", "300.0"))),
        ("check_timeline", r.choice(("true", "false"))),
        ("synchronous_mode", r.choice(("off", "on", "quorum"))),
        ("synchronous_mode_strict", r.choice(("true", "false"))),
        ("synchronous_node_count", r.choice(("1", "2"))),
        ("failsafe_mode", r.choice(("true", "false"))),
    ]
    return r.choice(choices)


def _places(r: Random, setup: Setup) -> tuple[str, str]:
    other = STORE if r.random() < 0.6 else _member(r, setup)
    pair = (_member(r, setup), other)
    return pair if r.random() < 0.5 else (pair[1], pair[0])


_KINDS: dict[str, Callable[[Random, Setup], tuple[str, ...]]] = {
    "kill-daemon": lambda r, s: (_member(r, s),),
    "freeze-daemon": lambda r, s: (_member(r, s), _seconds(r, s)),
    "hang-loop": lambda r, s: (_member(r, s), _seconds(r, s)),
    "stop-daemon": lambda r, s: (_member(r, s), _seconds(r, s)),
    "crash-host": lambda r, s: (_member(r, s), _seconds(r, s)),
    "freeze-host": lambda r, s: (_member(r, s), _seconds(r, s)),
    "kill-postgres": lambda r, s: (_member(r, s),),
    "freeze-postgres": lambda r, s: (_member(r, s), _seconds(r, s)),
    "kill-fence": lambda r, s: (_member(r, s),),
    "slow-look": lambda r, s: (_member(r, s), f"{r.uniform(0.1, 6.0):.2f}", _seconds(r, s)),
    "silent-postgres": lambda r, s: (_member(r, s), _seconds(r, s)),
    "trouble/slow": _work,
    "trouble/fail": lambda r, s: (_member(r, s), r.choice(FAILING_WORK), "fail"),
    "wall-jump": lambda r, s: (_member(r, s), f"{r.uniform(-4000.0, 4000.0):.1f}"),
    "cut": lambda r, s: (*_places(r, s), _seconds(r, s)),
    "split": lambda r, s: (*_places(r, s), _seconds(r, s)),
    "isolate": lambda r, s: (_member(r, s), _seconds(r, s)),
    "swizzle": lambda r, s: (_member(r, s), _seconds(r, s)),
    "slow-link": lambda r, s: (*_places(r, s), f"{r.uniform(0.1, 5.0):.2f}", _seconds(r, s)),
    "lossy": lambda r, s: (f"{r.uniform(0.01, 0.4):.2f}", _seconds(r, s)),
    "late-requests": lambda r, s: (f"{r.uniform(0.01, 0.3):.2f}", _seconds(r, s)),
    "store-down": lambda r, s: (
        r.choice(("refusing", "silent")),
        _seconds(r, s),
        r.choice(("anew", "as-they-were")),
    ),
    "store-loses-all": lambda _r, _s: (),
    "switchover": lambda r, _s: (r.choice(("anybody", "replica")),),
    "switchover-later": lambda r, _s: (r.choice(("anybody", "replica")), f"{r.uniform(1, 60):.1f}"),
    "failover": lambda _r, _s: ("replica",),
    "edit": _edits,
    "pause": lambda r, s: (_seconds(r, s),),
    "restart": lambda r, s: (_member(r, s),),
    "reinitialize": lambda _r, _s: ("replica",),
}
_RARE_KINDS: dict[str, Callable[[Random, Setup], tuple[str, ...]]] = {
    "retime": lambda r, _s: tuple(map(str, r.choice(TIMINGS))),
    "stop-replay": lambda r, s: (_member(r, s), _seconds(r, s)),
    "watchdog-refuses": lambda r, s: (_member(r, s), _seconds(r, s)),
    "lose-disk": lambda r, s: (_member(r, s), _seconds(r, s)),
}
KINDS = frozenset({*_KINDS, *_RARE_KINDS} - {"lose-disk"})  # which goes with no loss of keys
