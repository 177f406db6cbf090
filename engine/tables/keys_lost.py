"""PostgreSQL is down, and the store knows no cluster: rules of the table `down`."""

from engine.actions import CreateInitialize
from engine.facts.failsafe import (
    a_member_may_go_on_unseen,
    all_listed_were_asked,
    others_may_know_a_list,
)
from engine.facts.keys import a_lease_may_be_left
from engine.facts.lease import lock_is_free, store_answers
from engine.facts.postgres import directory_was_standby, initialize_is_missing
from engine.facts.standby_cluster import in_standby_cluster
from engine.rule import Rule
from engine.tables.steps import (
    WHY_STAY_TO_ANSWER,
    WHY_WAIT_FOR_LEASES,
    WHY_WAIT_FOR_LISTED,
    ask_listed,
    end_without_cluster,
    wait_for_leases,
    wait_for_listed,
    wait_for_primarys_keys,
)

RULES = (
    Rule(
        "down.listed_replica",
        "A replica's directory, and the store has lost a cluster with failsafe mode: wait",
        when=(
            initialize_is_missing,
            directory_was_standby,
            lock_is_free,
            others_may_know_a_list,
            ~in_standby_cluster,
        ),
        then=wait_for_primarys_keys,
        why=WHY_STAY_TO_ANSWER,
    ),
    Rule(
        "down.replica_without_cluster",
        "A replica's directory, but the store knows no cluster: end",
        when=(
            store_answers,
            initialize_is_missing,
            directory_was_standby,
            lock_is_free,
            ~in_standby_cluster,
        ),
        then=end_without_cluster,
        why="A lone replica must not make itself a cluster under a mistyped name.",
        ends=True,
    ),
    Rule(
        "down.keys_lost",
        "The store may have lost the cluster's keys less than ttl ago: do not adopt it yet",
        when=(initialize_is_missing, lock_is_free, a_lease_may_be_left),
        then=wait_for_leases,
        why=WHY_WAIT_FOR_LEASES,
    ),
    Rule(
        "down.listed_ask",
        "The store has lost the keys of a cluster with failsafe mode: ask who else was listed",
        when=(initialize_is_missing, lock_is_free, ~all_listed_were_asked),
        then=ask_listed,
        why=WHY_WAIT_FOR_LISTED,
    ),
    Rule(
        "down.listed_wait",
        "One of them gives no answer, or may be primary without the store: do not adopt it",
        when=(initialize_is_missing, lock_is_free, a_member_may_go_on_unseen),
        then=wait_for_listed,
        why=WHY_WAIT_FOR_LISTED,
    ),
    Rule(
        "down.adopt",
        "A directory that may lead, and the store knows no cluster: make it this cluster",
        when=(initialize_is_missing, lock_is_free),
        then=lambda s: (CreateInitialize(s.postgres.directory.system_identifier),),
        why="An existing server becomes the first member of its cluster.",
    ),
)
