"""Incidents that the rules must not let happen again, each as the snapshot that led to it."""

from __future__ import annotations

from engine.actions import DeleteInitialize, Exit, Remember, StartPostgres
from engine.decide import decide, run
from engine.memory import after_restart
from tests.support.checker import of
from tests.support.scenes import scene


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
    assert changes == {"bootstrapping": False, "bootstrap_failed": "", "roles_created": False}


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
