"""PostgreSQL is down and its directory is whole: start it, repair it, or give the lock up."""

from engine import lineage, views, watchdog
from engine.actions import (
    Hold,
    RecoverFromCrash,
    ReleaseLock,
    Remember,
    RemoveDataDirectory,
    Report,
)
from engine.facts.following import (
    has_diverged,
    leader_can_be_rewound_to,
    leader_is_in_recovery,
    leader_told_its_timeline,
    may_remove_after_failed_rewind,
    may_remove_diverged,
    may_rewind,
    needs_new_copy,
    rewind_has_failed,
    rewind_was_begun,
    rewound_and_not_up_since,
    truth_has_an_address,
)
from engine.facts.lease import another_owns_the_lock, i_own_the_lock, time_is_short
from engine.facts.postgres import (
    a_job_runs,
    crashed_as_primary,
    directory_is_valid,
    directory_was_standby,
    leader_is_unnamed,
    postmaster_runs,
    shut_down_cleanly,
    waits_to_retry,
)
from engine.facts.race import start_timeout_is_over
from engine.facts.standby_cluster import (
    in_standby_cluster,
    leads_a_standby_cluster,
    may_start_unasked,
    remote_is_foreign,
    somebody_is_to_be_followed,
)
from engine.facts.sync import i_am_synchronous
from engine.facts.watchdog import watchdog_is_missing
from engine.facts.work import (
    a_candidate_has_everything,
    daemon_is_stopping,
    handover_takes_too_long,
    leader_leads,
    must_reinitialize,
    paused,
    peers_answered,
    restarting,
    somebody_can_take_over,
    standing_down,
    to_be_brought_back,
)
from engine.rule import Rule, Table
from engine.tables import bootstrap, keys_lost
from engine.tables.leave import final_lsn
from engine.tables.steps import (
    ONLY_A_NEW_COPY_HELPS,
    ask,
    ask_leader,
    ask_peers,
    give_handover_up,
    leave_sync,
    remove_after_failed_rewind,
    report_foreign,
    rewind,
    start_alone,
    start_primary,
    start_standby,
    why_diverged,
)

_RESTARTS_IN_PAUSE = (
    restarting,
    paused,
    ~i_own_the_lock,
    directory_was_standby,
    ~rewind_has_failed,
)

DOWN = Table(
    "down",
    "PostgreSQL is down and its directory is whole: what now?",
    applies=(~daemon_is_stopping, ~a_job_runs, ~postmaster_runs, directory_is_valid),
    rules=(
        *bootstrap.RULES,
        Rule(
            "down.unnamed",
            "Another member leads a cluster that has no identity yet: wait for that",
            when=(leader_is_unnamed,),
            then=lambda _: (Hold("the leader to publish the cluster's identity"),),
            why="It may be founding another cluster than that of our data, which is neither to be "
            "started, nor rewound or emptied, for its sake.",
        ),
        Rule(
            "down.reinitialize_early",
            "An operator asked for a new copy, and the leader has not been promoted yet",
            when=(must_reinitialize, another_owns_the_lock, ~leader_leads),
            then=lambda _: (Hold("the leader to be promoted"),),
            why="If it is lost before that, this copy may be the best one that is left.",
        ),
        Rule(
            "down.reinitialize_synchronous",
            "An operator asked for a new copy, and `sync` names this member again",
            when=(must_reinitialize, another_owns_the_lock, i_am_synchronous),
            then=leave_sync,
            why="It may lead with what it holds: the copy must be the one that confirmed commits.",
        ),
        Rule(
            "down.reinitialize",
            "An operator asked for a new copy: empty the directory",
            when=(must_reinitialize, another_owns_the_lock),
            then=lambda _: (RemoveDataDirectory("reinitialize was asked for by an operator"),),
            why="The leader has the data; the request is the permission.",
        ),
        Rule(
            "down.retry",
            "The last try failed a moment ago",
            when=(waits_to_retry, ~start_timeout_is_over),
            then=lambda s: (Hold("the next try", s.memory.retry_at),),
            why="Trying again at once, for ever, would fill the log and the machine.",
        ),
        Rule(
            "down.no_time",
            "We own the lock, but too little of the lease is left: start read-only",
            when=(i_own_the_lock, time_is_short, ~paused),
            then=start_standby,
            why="Until the lease is renewed this server may serve reads, but no writes.",
        ),
        Rule(
            "down.no_time_paused",
            "Maintenance mode, and too little of the lease is left to start: wait for its renewal",
            when=(i_own_the_lock, time_is_short, paused),
            then=lambda s: (Hold("the lease to be renewed", s.now + views.ASK_AGAIN_SECONDS),),
            why="A restart keeps the role, and a primary is started only with a certain lease.",
        ),
        Rule(
            "down.no_watchdog",
            "We own the lock, but the watchdog that the configuration requires can't be used",
            when=(i_own_the_lock, watchdog_is_missing, ~in_standby_cluster, ~paused),
            then=lambda s: (ReleaseLock(final_lsn(s), f"no watchdog: {watchdog.trouble(s)}"),),
            why="Without it this server must not start as primary; another member may lead.",
        ),
        Rule(
            "down.restart_primary",
            "Stopped for a restart, and the lock is ours: start again",
            when=(restarting, i_own_the_lock, ~directory_was_standby, ~in_standby_cluster),
            then=start_primary,
            why="A restart keeps the role.",
        ),
        Rule(
            "down.restart_standby_leader",
            "The leader of a standby cluster was stopped for a restart: start again",
            when=(restarting, leads_a_standby_cluster),
            then=start_standby,
            why="A restart keeps the role, and the lock.",
        ),
        Rule(
            "down.restart_standby",
            "A standby was stopped for a restart in maintenance mode: start again",
            when=(*_RESTARTS_IN_PAUSE, leader_told_its_timeline, ~has_diverged),
            then=start_standby,
            why="An operator's restart is one of the few things that happen in pause.",
        ),
        Rule(
            "down.restart_alone",
            "The same, and its WAL may not be the leader's: start again, following nobody",
            when=(*_RESTARTS_IN_PAUSE, ~rewind_was_begun),
            then=start_alone,
            why="It serves reads again, as the operator asked, and follows as soon as the leader "
            "has told that its WAL goes on from here. What was rewound half-way stays down.",
        ),
        Rule(
            "down.paused_release",
            "Maintenance mode, and our primary is down: release the lock",
            when=(paused, i_own_the_lock, ~to_be_brought_back),
            then=lambda s: (ReleaseLock(final_lsn(s), "PostgreSQL is down in maintenance mode"),),
            why="In pause the lock follows the primary that the operator runs.",
        ),
        Rule(
            "down.paused",
            "Maintenance mode: PostgreSQL stays down",
            when=(paused, ~to_be_brought_back),
            then=lambda _: (Hold("the end of the maintenance mode"),),
            why="In pause nothing happens by itself; what an operator asked for is finished.",
        ),
        Rule(
            "down.handover_ask",
            "Standing down: ask whether the candidate received our last record",
            when=(standing_down, i_own_the_lock, shut_down_cleanly, ~peers_answered),
            then=ask,
            why="The lock may go only to a member that has everything.",
        ),
        Rule(
            "down.handover_release",
            "Standing down, and a candidate has everything: release the lock",
            when=(standing_down, i_own_the_lock, shut_down_cleanly, a_candidate_has_everything),
            then=lambda s: (ReleaseLock(final_lsn(s), "hand-over to a candidate"),),
            why="The candidate has our shutdown checkpoint: nothing is lost, no rewind is needed.",
        ),
        Rule(
            "down.handover_wait",
            "Standing down: the candidate has not confirmed our last record yet",
            when=(standing_down, i_own_the_lock, shut_down_cleanly, ~handover_takes_too_long),
            then=lambda s: (
                ask_peers(s),
                Hold("the candidate to receive our last record", s.now + 0.2),
            ),
            why="A planned switchover must not lose what was acknowledged.",
        ),
        Rule(
            "down.handover_failed",
            "Standing down, but no candidate has everything: take the lead again",
            when=(standing_down, i_own_the_lock),
            then=give_handover_up,
            why="Better no switchover than one that loses commits.",
        ),
        Rule(
            "down.not_primary",
            "We own the lock, but this directory belongs to a standby: release it",
            when=(i_own_the_lock, directory_was_standby),
            then=lambda _: (ReleaseLock(None, "PostgreSQL went down before its promotion"),),
            why="Another standby may be up already, and promote at once.",
        ),
        Rule(
            "down.ask_before_failover",
            "Our primary did not come back in time: ask who could take over",
            when=(i_own_the_lock, start_timeout_is_over, ~peers_answered),
            then=ask,
            why="The lock is given away only if somebody can use it.",
        ),
        Rule(
            "down.failover",
            "Our primary did not come back in time and a member can take over: release the lock",
            when=(i_own_the_lock, start_timeout_is_over, somebody_can_take_over),
            then=lambda s: (
                ReleaseLock(None, "the primary did not start within primary_start_timeout"),
                Remember({"primary_down_since": None, "retry_at": s.now + views.ASK_AGAIN_SECONDS}),
            ),
            why="primary_start_timeout says how long a crashed primary may try to come back.",
        ),
        Rule(
            "down.restart_in_place",
            "Our primary went down and the lock is ours: start it again",
            when=(i_own_the_lock, ~in_standby_cluster),
            then=start_primary,
            why="A restart in place loses nothing, and is usually faster than a failover.",
        ),
        *keys_lost.RULES,
        Rule(
            "down.rewind_failed_remove",
            "pg_rewind failed and the configuration allows a new copy: empty the directory",
            when=(somebody_is_to_be_followed, rewind_has_failed, may_remove_after_failed_rewind),
            then=remove_after_failed_rewind,
            why="A directory that pg_rewind left half-made can't be started.",
        ),
        Rule(
            "down.rewind_failed",
            "pg_rewind failed and a new copy is not allowed: wait for the operator",
            when=(rewind_has_failed,),
            then=lambda s: (
                Report(
                    "error",
                    f"pg_rewind failed ({s.memory.rewind_failed}); reinitialize this "
                    "member, or allow remove_data_directory_on_rewind_failure",
                ),
                Hold("an operator: pg_rewind failed"),
            ),
            why="Starting it would fail, or serve wrong data.",
        ),
        Rule(
            "down.ask_leader",
            "Another member leads: ask for its timeline before this server starts",
            when=(
                somebody_is_to_be_followed,
                truth_has_an_address,
                ~leader_told_its_timeline,
                ~may_start_unasked,
            ),
            then=ask_leader,
            why="A server whose WAL is not a part of the leader's must never stream.",
        ),
        Rule(
            "down.foreign_remote",
            "The remote primary is another database system: wait for the operator",
            when=(remote_is_foreign,),
            then=report_foreign,
            why="To rewind to it, or to copy it anew, would destroy this cluster's data.",
        ),
        Rule(
            "down.wait_for_promotion",
            "The new leader is not promoted yet: wait, since our WAL may go further than its own",
            when=(another_owns_the_lock, leader_is_in_recovery, ~directory_was_standby),
            then=ask_leader,
            why="Where the timelines fork is known only after the promotion.",
        ),
        Rule(
            "down.recover",
            "This server crashed as primary: recover it, to see where its WAL ends",
            when=(somebody_is_to_be_followed, crashed_as_primary),
            then=lambda _: (RecoverFromCrash(),),
            why="Only after crash recovery is it known whether it wrote more than the leader has.",
        ),
        Rule(
            "down.wait_for_address",
            "Diverged, and the leader has no member key: wait for its address",
            when=(somebody_is_to_be_followed, has_diverged, ~truth_has_an_address),
            then=lambda s: (Hold("the leader's member key", s.now + views.ASK_AGAIN_SECONDS),),
            why="A diverged server is never started, and nobody is there to rewind to.",
        ),
        Rule(
            "down.wait_for_checkpoint",
            "Diverged: the leader must finish its first checkpoint before the rewind",
            when=(somebody_is_to_be_followed, has_diverged, may_rewind, ~leader_can_be_rewound_to),
            then=ask_leader,
            why="Until that checkpoint its control file still names the old timeline.",
        ),
        Rule(
            "down.rewind_useless",
            "Diverged, and rewound without having answered since: remember that it is of no use",
            when=(has_diverged, may_rewind, rewound_and_not_up_since),
            then=lambda s: (
                Report("warning", f"pg_rewind is of no use any more: {why_diverged(s)}"),
                Remember({"needs_new_copy": True}),
            ),
            why="It found nothing to do, or brought pages that are newer than the WAL here: it "
            "would leave those as they are, and end well. A new copy helps.",
            ends=True,
        ),
        Rule(
            "down.rewind_begins",
            "Diverged: remember that a rewind begins",
            when=(somebody_is_to_be_followed, has_diverged, may_rewind, ~rewind_was_begun),
            then=lambda s: (Remember({"rewinding": True, "rewound_from": lineage.end_of_wal(s)}),),
            why="Cut off in the middle it leaves a directory that looks whole and is not.",
            ends=True,
        ),
        Rule(
            "down.rewind",
            "Diverged: rewind to the leader",
            when=(somebody_is_to_be_followed, has_diverged, may_rewind),
            then=rewind,
            why="pg_rewind undoes what only this server has, and keeps the rest.",
        ),
        Rule(
            "down.remove_diverged",
            "Diverged, no rewind possible, and the configuration allows a new copy: empty it",
            when=(somebody_is_to_be_followed, has_diverged, may_remove_diverged),
            then=lambda s: (
                RemoveDataDirectory(
                    "remove_data_directory_on_diverged_timelines: " + why_diverged(s)
                ),
            ),
            why="The leader has the data; the configuration is the permission.",
        ),
        Rule(
            "down.diverged",
            "Diverged, and nothing is allowed: wait for the operator",
            when=(somebody_is_to_be_followed, has_diverged),
            then=lambda s: (
                Report(
                    "error",
                    f"diverged: {why_diverged(s)}; reinitialize this member, or "
                    "allow use_pg_rewind or remove_data_directory_on_diverged_timelines",
                ),
                Hold("an operator: the data directory has diverged"),
            ),
            why="A diverged server is never started.",
        ),
        Rule(
            "down.rewind_cut_off",
            "A rewind was cut off, and there is no leader to rewind to: wait for one",
            when=(rewind_was_begun,),
            then=lambda _: (Hold("a leader, to rewind to it again"),),
            why="A half-rewound directory is never started: it could win the race and lead.",
        ),
        Rule(
            "down.needs_new_copy",
            "This data was found to be no part of the cluster, and nobody leads: do not start it",
            when=(needs_new_copy,),
            then=lambda _: (Hold(ONLY_A_NEW_COPY_HELPS),),
            why="Its WAL has the numbers of the lost leader's and other bytes: it could win the "
            "race, and what that leader acknowledged would be gone.",
        ),
        Rule(
            "down.start",
            "Start as a standby of whom we should follow, or read-only while nobody leads",
            when=(),
            then=start_standby,
            why="A member that runs can serve reads and can take over.",
        ),
    ),
)
