"""Replication slots: which there are (`slots`), where they stand (`advance`), what is amiss."""

from engine import slots, upstreams, views
from engine.actions import (
    Action,
    AdvanceSlots,
    AskSlots,
    CopySlots,
    CreateLogicalSlots,
    CreateSlots,
    DropSlots,
    Remember,
    Report,
)
from engine.facts.following import has_diverged
from engine.facts.lease import another_owns_the_lock, store_answers
from engine.facts.postgres import (
    a_job_runs,
    initialize_is_missing,
    postmaster_runs,
    runs_as_primary,
    server_is_silent,
    waits_to_retry,
)
from engine.facts.slots import (
    a_logical_slot_can_be_copied,
    a_logical_slot_is_missing,
    a_logical_slot_is_uncovered,
    a_logical_slot_is_unsafe,
    a_slot_can_go,
    a_slot_holds_too_much,
    a_slot_is_missing,
    a_slot_is_useless,
    a_slot_lags,
    leader_told_its_slots,
    logical_slots_are_noted,
    slot_names_clash,
    slots_are_used,
    streams_now,
    the_leader_covers_another_slot,
    unclaimed_slots_are_noted,
)
from engine.facts.work import (
    bootstrapping,
    daemon_is_stopping,
    handover_is_requested,
    paused,
    restarting,
)
from engine.rule import Rule, Table, nothing
from engine.state import Snapshot


def _note_unclaimed(s: Snapshot) -> tuple[Action, ...]:
    since = s.memory.unclaimed_since
    return (Remember({"unclaimed_since": {n: since.get(n, s.now) for n in slots.unclaimed(s)}}),)


def _drop(s: Snapshot) -> tuple[Action, ...]:
    return (DropSlots(tuple(sorted({*slots.given_up(s), *slots.unwanted_logical(s)}))),)


def _ask(s: Snapshot) -> tuple[Action, ...]:
    leader = views.leader_member(s)
    if leader is None:
        return ()
    names = {*slots.ours(s), *(p.name for p in slots.missing_logical(s))}
    source = upstreams.upstream_at(s, leader)
    return (AskSlots(source, tuple(sorted(names)), upstreams.slot_name(s.me.name)),)


def _cover(s: Snapshot) -> tuple[Action, ...]:
    leader = views.leader_name(s) or ""
    former = s.memory.covered_from if s.memory.covered_by == leader else {}
    now = {**former, **slots.newly_covered(s)}
    return (Remember({"covered_by": leader, "covered_from": now}),)


def _copy(s: Snapshot) -> tuple[Action, ...]:
    leader = views.leader_member(s)
    assert leader is not None
    names = slots.to_copy(s)
    left = {n: xmin for n, xmin in s.memory.covered_from.items() if n not in names}
    return (
        Report("info", f"restarting to take over logical slots: {', '.join(names)}"),
        Remember({"restarting_since": s.now, "restarting_for": None, "covered_from": left}),
        CopySlots(upstreams.upstream_at(s, leader), names),
    )


_USED = (slots_are_used, postmaster_runs, ~server_is_silent)

SLOTS = Table(
    "slots",
    "Are there the replication slots that there should be?",
    applies=(*_USED, store_answers, ~a_job_runs, ~bootstrapping, ~initialize_is_missing),
    rules=(
        Rule(
            "slots.note",
            "Nobody claims a slot: remember since when",
            when=(~unclaimed_slots_are_noted,),
            then=_note_unclaimed,
            why="A member that restarts should find its slot again.",
        ),
        Rule(
            "slots.note_logical",
            "A logical slot that the configuration asks for is here: remember that it is ours",
            when=(~logical_slots_are_noted,),
            then=lambda s: (Remember({"logical_slots": slots.ours(s)}),),
            why="Only a slot that is known to be ours is ever dropped; others have their users.",
        ),
        Rule(
            "slots.drop",
            "A slot was unclaimed for member_slots_ttl, or is not asked for any more: drop it",
            when=(a_slot_can_go, ~paused),
            then=_drop,
            why="A slot that nobody uses fills the disk with WAL.",
        ),
        Rule(
            "slots.renew",
            "A slot lost its WAL, or holds rows for a member that streams from elsewhere: drop it",
            when=(a_slot_is_useless, ~paused),
            then=lambda s: (DropSlots(slots.useless(s)),),
            why="It is created anew in the next cycle; kept, it would help nobody and hold up "
            "vacuum for ever.",
        ),
        Rule(
            "slots.create",
            "A member has no slot here: create it",
            when=(a_slot_is_missing,),
            then=lambda s: (CreateSlots(slots.missing_physical(s)),),
            why="The slot keeps the WAL that the member still needs, also after a failover.",
        ),
        Rule(
            "slots.create_logical",
            "A logical slot that the configuration asks for is missing on the primary: create it",
            when=(runs_as_primary, a_logical_slot_is_missing),
            then=lambda s: (CreateLogicalSlots(slots.missing_logical(s)),),
            why="Standbys can only copy it from here.",
        ),
        Rule(
            "slots.covered",
            "The leader has our feedback: remember from where on our logical slots are safe",
            when=(the_leader_covers_another_slot,),
            then=_cover,
            why="A slot whose catalog rows were removed decodes wrongly after a promotion.",
        ),
        Rule(
            "slots.ask",
            "A logical slot is missing or not safe yet: ask the leader about it",
            when=(another_owns_the_lock, a_logical_slot_is_missing, ~leader_told_its_slots),
            then=_ask,
            why="Its state comes from the leader, and so does the word that its rows are kept.",
        ),
        Rule(
            "slots.ask_cover",
            "A logical slot is here, but not known to be safe: ask the leader about it",
            when=(another_owns_the_lock, a_logical_slot_is_uncovered, ~leader_told_its_slots),
            then=_ask,
            why="Only the leader knows whether it keeps the rows that the slot needs.",
        ),
        Rule(
            "slots.copy",
            "The leader has a logical slot that is missing here: copy it and restart",
            when=(
                a_logical_slot_can_be_copied,
                streams_now,
                ~daemon_is_stopping,
                ~has_diverged,
                ~handover_is_requested,
                ~restarting,
                ~waits_to_retry,
                ~paused,
            ),
            then=_copy,
            why="PostgreSQL reads slots only when it starts; without a copy a failover would lose "
            "the consumer's changes.",
        ),
        Rule(
            "slots.right",
            "The slots are as they should be",
            when=(),
            then=nothing,
            why="Every member has its slot.",
        ),
    ),
)

ADVANCE = Table(
    "advance",
    "Do the slots that nobody uses here keep up with their owners?",
    applies=(*_USED, ~a_job_runs, ~bootstrapping),
    rules=(
        Rule(
            "advance.follow",
            "Their owners have moved on, streaming from elsewhere: follow them",
            when=(a_slot_lags,),
            then=lambda s: (AdvanceSlots(slots.behind(s)),),
            why="Otherwise WAL that nobody needs is kept here until the disk is full, and a "
            "consumer gets again after a failover what it had long confirmed.",
        ),
        Rule(
            "advance.level",
            "They do",
            when=(),
            then=nothing,
            why="There is nothing to move.",
        ),
    ),
)

BUDGET = Table(
    "budget",
    "Is anything amiss with slots that only an operator can mend?",
    applies=(*_USED, store_answers),
    rules=(
        Rule(
            "budget.clash",
            "Two owners map to one slot name: say so",
            when=(slot_names_clash,),
            then=lambda s: (
                Report("error", f"one slot for two: {'; '.join(slots.clashes(s))}: rename one"),
            ),
            why="Only one of them can use the slot, and the other cannot stream.",
        ),
        Rule(
            "budget.over",
            "A slot holds more WAL than it may: name it and its owner",
            when=(a_slot_holds_too_much,),
            then=lambda s: (
                Report("warning", f"WAL held by slots: {'; '.join(slots.over_budget(s))}"),
            ),
            why="It may fill the disk; but to drop it would cost its owner what it waits for.",
        ),
        Rule(
            "budget.unsafe",
            "A logical slot is not safe to use after a promotion yet: say so",
            when=(a_logical_slot_is_unsafe,),
            then=lambda s: (
                Report(
                    "info",
                    f"logical slots that are not safe after a promotion yet: "
                    f"{', '.join(slots.unsafe(s))}",
                ),
            ),
            why="Until the leader keeps the catalog rows that it needs, it might decode wrongly.",
        ),
        Rule(
            "budget.fine",
            "Nothing is amiss",
            when=(),
            then=nothing,
            why="Every slot is somebody's, and holds little.",
        ),
    ),
)
