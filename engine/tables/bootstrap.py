"""PostgreSQL is down while its daemon founds the cluster: the first rules of the table `down`."""

from engine.actions import Hold
from engine.facts.lease import store_answers
from engine.facts.postgres import bootstrap_step_failed, waits_to_retry
from engine.facts.standby_cluster import bootstrap_is_a_copy
from engine.facts.work import bootstrapping
from engine.rule import Rule
from engine.tables.steps import leave_bootstrap, start_primary, start_standby

RULES = (
    Rule(
        "down.bootstrap_failed",
        "A step of the bootstrap failed: let others try",
        when=(bootstrap_step_failed,),
        then=leave_bootstrap,
        why="The half-made directory is set aside for inspection, never deleted.",
        ends=True,
    ),
    Rule(
        "down.bootstrap_retry",
        "The new cluster was whole, and a start of it has failed a moment ago: try again soon",
        when=(bootstrapping, waits_to_retry),
        then=lambda s: (Hold("the next try", s.memory.retry_at),),
        why="Its identity may be published already, whatever the store showed last: set aside, it "
        "would be a cluster that nobody has.",
    ),
    Rule(
        "down.bootstrap_standby",
        "The remote primary is copied: start as its standby",
        when=(bootstrapping, bootstrap_is_a_copy, store_answers),
        then=start_standby,
        why="As a primary it would be a second one of the remote cluster, on its timeline.",
    ),
    Rule(
        "down.bootstrap",
        "initdb is done: start the new cluster's first primary",
        when=(bootstrapping, store_answers),
        then=start_primary,
        why="Nobody else has this cluster's data, so no lock is needed for the first start.",
    ),
    Rule(
        "down.bootstrap_unproven",
        "initdb is done, but the store does not answer: do not start yet",
        when=(bootstrapping,),
        then=lambda _: (Hold("the store to answer"),),
        why="Only the store tells whether another member has become the leader meanwhile.",
    ),
)
