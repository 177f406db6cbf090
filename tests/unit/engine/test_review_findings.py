"""Incidents that the rules must not let happen again, each as the snapshot that led to it."""

from __future__ import annotations

from dataclasses import replace

from engine.actions import (
    Answer,
    CreateInitialize,
    DeleteInitialize,
    DisarmFence,
    Exit,
    ReleaseLock,
    Remember,
    RenewLock,
    Report,
    Rewind,
    StartPostgres,
    StopPostgres,
)
from engine.decide import decide, run
from engine.memory import after_restart
from engine.state import Memory
from engine.views import lease_ends
from proof.checker import of
from tests.support.scenes import scene
from tests.support.snapshots import LSN


def test_a_failed_bootstrap_is_given_up_only_once() -> None:
    """The daemon that comes after a failed bootstrap leaves the next `initialize` alone."""
    failed = scene(
        "new cluster",
        {
            "cluster": "bootstrapping",
            "memory.bootstrapping": True,
            "memory.bootstrap_failed": "initdb: invalid locale",
        },
    )
    actions = decide(failed)
    assert of(DeleteInitialize, actions)
    assert isinstance(actions[-1], Exit)
    changes = {k: v for x in of(Remember, actions) for k, v in x.changes.items()}
    assert changes == dict.fromkeys(
        ("bootstrapping", "bootstrap_copied", "roles_created"), False
    ) | {"bootstrap_failed": ""}


def test_a_founded_cluster_is_never_unfounded() -> None:
    """Whatever is remembered of a failed bootstrap, an identity that is set is not deleted."""
    late = scene(
        "new replica",
        {"memory.bootstrapping": True, "memory.bootstrap_failed": "initdb: invalid locale"},
    )
    assert not of(DeleteInitialize, decide(late))
    silent = scene(
        "new replica", {"cluster": "silent", "memory.bootstrap_failed": "initdb: invalid locale"}
    )
    assert not of(Exit, decide(silent))


def test_a_founder_that_was_overtaken_does_not_start_as_primary() -> None:
    """Killed between taking the lock and forgetting the bootstrap, it comes back as a replica."""
    for store in ("n2 leads", "free"):
        back = scene("old primary", {"cluster": store, "memory.bootstrapping": True})
        assert after_restart(back.memory).bootstrapping
        assert not of(StartPostgres, decide(back))
        assert run(back).fired[-1] in {"note.bootstrap_beaten", "note.bootstrap_done"}


def test_what_was_not_looked_at_since_a_job_is_not_taken_for_down_or_standby() -> None:
    """A look from before a promotion or a start neither disarms the fence nor frees the lock."""
    promoted = {"kind": "promote", "ok": True, "finished": 999, "why": ""}
    silent = {"@": "Unknown", "since": 998, "why": "no answer yet"}
    before = {
        "lease": "fresh",
        "cluster.leader": "n2",
        "fence": "armed",
        "last_job": promoted,
        "memory.job_seen": 999,
        "postgres.outdated": True,
        "postgres.server": silent,
    }
    hung = scene("replica", before)
    assert not of(DisarmFence, decide(hung))
    ending = scene("replica", {**before, "lease": "ending", "cluster": "silent"})
    assert [x.mode for x in of(StopPostgres, decide(ending))] == ["immediate"]

    for never_seen in ("crashed", "empty", "alien"):
        begun = scene(
            "crashed primary",
            {
                "postgres": never_seen,
                "postgres.outdated": True,
                "fence": "armed",
                "policy.primary_start_timeout_seconds": 0,
                "stopping": True,
            },
        )
        assert not of(ReleaseLock, decide(begun))
        assert not of(DisarmFence, decide(begun))
        assert not of(Exit, decide(begun))


def test_a_standby_that_was_not_looked_at_in_time_is_left_alone() -> None:
    """A slow look after the start of a standby is no reason to stop it."""
    started = scene(
        "replica",
        {
            "lease": "over",
            "last_job": {"kind": "start", "ok": True, "finished": 999, "why": ""},
            "memory.job_seen": 999,
            "postgres.outdated": True,
            "postgres.server": {"@": "Unknown", "since": 998, "why": "no answer yet"},
        },
    )
    assert not of(StopPostgres, decide(started))


def test_a_lock_from_a_former_life_is_taken_up_only_while_it_exists() -> None:
    """A thawed node whose view is old does not take a lock that has been another's since."""
    thawed = scene("crashed primary", {"lease": "over"})
    assert of(RenewLock, decide(thawed)) == [RenewLock(create=False)]
    leading = scene("primary", {"lease": "due"})
    assert of(RenewLock, decide(leading)) == [RenewLock(begin_before=lease_ends(leading))]


def test_a_failed_promotion_is_stopped_before_the_lock_is_released() -> None:
    """A promotion that took too long may still end: the server goes down before the lock goes."""
    failed = scene(
        "replica",
        {"cluster.leader": "n2", "lease": "fresh", "memory.race_barred_until": 1020},
    )
    assert not of(ReleaseLock, decide(failed))
    assert of(StopPostgres, decide(failed))
    stopped = scene(
        "down replica",
        {"cluster.leader": "n2", "lease": "fresh", "memory.race_barred_until": 1020},
    )
    stopped = replace(stopped, memory=replace(stopped.memory, primary_down_since=999.0))
    assert of(ReleaseLock, decide(stopped))


def test_a_half_rewound_directory_is_never_started() -> None:
    """A daemon killed during pg_rewind finds its directory unfit until a rewind ended well."""
    kept = after_restart(Memory(rewinding=True))
    assert kept.rewinding
    for store in ("free", "silent", "n2 leads", "ghost leads", "no cluster"):
        for control in ("clean", "clean standby", "crashed standby"):
            cut_off = scene("old primary", {"cluster": store, "postgres": control})
            cut_off = replace(cut_off, memory=kept)
            assert not of(StartPostgres, decide(cut_off)), (store, control)
    again = replace(scene("old primary", {"postgres": "clean"}), memory=kept)
    assert of(Rewind, decide(again))


def test_a_diverged_member_gets_no_lock_handed_over_however_far_its_wal_goes() -> None:
    """A position on an older timeline does not prove that a member has what was acknowledged."""
    other = {"leader": "n1", "candidate": "n2", "scheduled_epoch": None, "revision": 7}
    diverged = {"peers": "others", "peers.n2.timeline": 2, "peers.n2.lsn": LSN + 5000}
    stood_down = scene(
        "crashed primary",
        {
            "cluster.failover": other,
            "postgres": "clean",
            "memory.standing_down_since": 999,
            **diverged,
        },
    )
    assert not of(ReleaseLock, decide(stood_down))
    on_ours = scene(
        "crashed primary",
        {
            "cluster.failover": other,
            "postgres": "clean",
            "memory.standing_down_since": 999,
            **diverged,
            "peers.n2.timeline": 3,
        },
    )
    assert of(ReleaseLock, decide(on_ours))


def test_a_recovery_without_end_does_not_keep_the_lock() -> None:
    """A leader that starts for more than primary_start_timeout gives way to a fit member."""
    starting = {"postgres": "starting", "policy.primary_start_timeout_seconds": 3}
    stuck = scene("primary", {**starting, "peers": "others"})
    remembered = of(Remember, decide(stuck))[0].changes
    assert of(StopPostgres, decide(stuck))
    stopped = scene("crashed primary", {"policy.primary_start_timeout_seconds": 3})
    stopped = replace(stopped, memory=replace(stopped.memory, **remembered))
    assert of(ReleaseLock, decide(stopped))
    alone = scene("primary", {**starting, "peers": "silent"})
    assert not of(StopPostgres, decide(alone))


def test_a_lost_answer_about_initialize_does_not_leave_the_cluster_unfounded() -> None:
    """Whoever created `initialize` goes on, however the answer was lost; nobody else does."""
    unsure = {"cluster": "bootstrapping", "cluster.founder": "n1"}
    going_on = [x for x in decide(scene("new cluster", unsure)) if isinstance(x, Remember)]
    assert [x.changes for x in going_on] == [{"bootstrapping": True}]
    others = decide(scene("new cluster", {**unsure, "cluster.founder": "n2"}))
    assert not of(Remember, others)
    claimed = {"cluster.founder": "n2", "cluster.members": [{"name": "n2"}]}
    assert not of(CreateInitialize, decide(scene("new cluster", claimed)))
    assert not of(CreateInitialize, decide(scene("new cluster", {})))


def test_a_failed_founder_deletes_no_initialize_of_another() -> None:
    """An empty `initialize` with another founder belongs to a bootstrap that goes on."""
    failed = {
        "cluster": "bootstrapping",
        "cluster.founder": "n2",
        "memory.bootstrapping": True,
        "memory.bootstrap_failed": "initdb: invalid locale",
    }
    assert not of(DeleteInitialize, decide(scene("new cluster", failed)))


def test_a_primary_without_any_lease_does_not_stay_writable_for_ever() -> None:
    """A restarted daemon that cannot reach the store stops its primary after one ttl.

    Told to end it does so at once.
    """
    silent = {"cluster": {"@": "Unknown", "since": 965, "why": "refused"}, "lease": "none"}
    assert of(StopPostgres, decide(scene("primary", silent)))
    assert not of(StopPostgres, decide(scene("primary", {"cluster": "silent", "lease": "none"})))
    told = {"cluster": "silent", "lease": "none", "stopping": True}
    assert of(StopPostgres, decide(scene("primary", told)))


def test_a_scheduled_restart_has_nobody_to_answer() -> None:
    """Its end is told in the log: no operator waits for it."""
    s = scene(
        "primary",
        {
            "memory.restarting_since": 990,
            "last_job": {"kind": "start", "ok": True, "finished": 999},
            "memory.job_seen": 999,
        },
    )
    actions = decide(s)
    assert "request.restart_done" in run(s).fired
    assert not of(Answer, actions)
    assert [x.text for x in of(Report, actions)] == ["restarted successfully"]
