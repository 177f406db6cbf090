"""A standby whose cluster the store does not know: it must not make itself a cluster."""

from engine import views
from engine.actions import (
    Action,
    CreateInitialize,
    Remember,
    WriteConfig,
    WriteInitialize,
)
from engine.facts.failsafe import others_may_know_a_list
from engine.facts.keys import keys_were_seen_to_go
from engine.facts.lease import lock_is_free
from engine.facts.postgres import a_job_runs, initialize_is_missing, runs_as_standby
from engine.facts.standby_cluster import bootstrap_is_a_copy, in_standby_cluster
from engine.facts.work import bootstrapping, daemon_is_stopping, paused
from engine.rule import Rule, Table
from engine.state import Snapshot
from engine.tables.steps import WHY_STAY_TO_ANSWER, end_without_cluster, wait_for_primarys_keys


def _identifier(s: Snapshot) -> str:
    here = views.server(s)
    assert here is not None
    return here.system_identifier


def _finish_bootstrap(s: Snapshot) -> tuple[Action, ...]:
    return (
        WriteInitialize(_identifier(s)),
        WriteConfig(s.policy.dcs_config),
        Remember({"bootstrapping": False, "bootstrap_copied": False}),
    )


def _adopt(s: Snapshot) -> tuple[Action, ...]:
    return (CreateInitialize(_identifier(s)),)


ORPHAN = Table(
    "orphan",
    "A standby, but the store knows no cluster: what now?",
    applies=(~daemon_is_stopping, ~a_job_runs, runs_as_standby, lock_is_free, ~paused),
    rules=(
        Rule(
            "orphan.finish_bootstrap",
            "The copy of the remote primary runs: publish its identity",
            when=(bootstrapping, bootstrap_is_a_copy),
            then=_finish_bootstrap,
            why="From here on it is a standby cluster like any other: this standby asks for the "
            "lock, and the others clone it once it leads.",
            ends=True,
        ),
        Rule(
            "orphan.adopt",
            "A standby cluster that the store does not know: make it this cluster",
            when=(initialize_is_missing, in_standby_cluster),
            then=_adopt,
            why="Nobody in it is writable, so nothing can be lost by calling it by its name.",
            ends=True,
        ),
        Rule(
            "orphan.keys_lost",
            "We were a member of this cluster, and its keys are gone: wait for the primary's",
            when=(initialize_is_missing, keys_were_seen_to_go),
            then=wait_for_primarys_keys,
            why="A running primary writes them again.  Our member key goes on to say that there is "
            "data here: whoever has none must found no cluster in its place.",
        ),
        Rule(
            "orphan.listed",
            "The store has lost a cluster with failsafe mode: wait for its keys",
            when=(initialize_is_missing, others_may_know_a_list),
            then=wait_for_primarys_keys,
            why=WHY_STAY_TO_ANSWER,
        ),
        Rule(
            "orphan.end",
            "A replica without a cluster: end, leaving PostgreSQL as it is",
            when=(initialize_is_missing,),
            then=end_without_cluster,
            why="A lone replica must not make itself a cluster under a mistyped name.",
            ends=True,
        ),
        Rule(
            "orphan.no",
            "The cluster exists",
            when=(),
            then=lambda _: (),
            why="The race decides who leads it.",
        ),
    ),
)
