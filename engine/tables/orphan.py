"""A standby whose cluster the store does not know: it must not make itself a cluster."""

from engine.actions import Exit, Hold, Report
from engine.facts.lease import lock_is_free
from engine.facts.postgres import a_job_runs, initialize_is_missing, runs_as_standby
from engine.facts.upkeep import published_before
from engine.facts.work import daemon_is_stopping, paused
from engine.rule import Rule, Table

ORPHAN = Table(
    "orphan",
    "A standby, but the store knows no cluster: what now?",
    applies=(~daemon_is_stopping, ~a_job_runs, runs_as_standby, lock_is_free, ~paused),
    rules=(
        Rule(
            "orphan.keys_lost",
            "We were a member of this cluster, and its keys are gone: wait for the primary's",
            when=(initialize_is_missing, published_before),
            then=lambda s: (
                Report("warning", "the store has lost the cluster's keys"),
                Hold("the primary to write the cluster's keys again", s.now + 1.0),
            ),
            why="A running primary writes them again; a race without them could not know whether "
            "one still runs.",
            ends=True,
        ),
        Rule(
            "orphan.end",
            "A replica without a cluster: end, leaving PostgreSQL as it is",
            when=(initialize_is_missing,),
            then=lambda _: (
                Exit(
                    1,
                    "this is a replica, but the store has no `initialize` key for the scope: "
                    "check scope and namespace, or start the former primary first",
                ),
            ),
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
