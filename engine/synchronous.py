"""Readings of a snapshot about synchronous replication: who is fit, confirmed, wanted.

Projections and arithmetic for the facts of `engine.facts.sync` and of the race; nothing here
decides.  The arithmetic of names and promises itself is in `engine.quorum`.  Member names are
compared in lower case, as PostgreSQL does it.
"""

from dataclasses import dataclass

from engine import quorum, upstreams, views
from engine.quorum import Names, Promise
from engine.state import JobKind, Known, Member, ReplicationRow, Server, Snapshot, SyncState

# PostgreSQL's processes read a changed file one after the other, each within milliseconds; who
# confirms must have all that was acknowledged until every one of them has.
SETTLE_SECONDS = 1.0


def is_on(s: Snapshot) -> bool:
    """Whether synchronous mode is on, in either form; in a standby cluster it never is."""
    return s.policy.synchronous_mode != "off" and s.policy.standby_cluster is None


def stop_seconds_left(s: Snapshot) -> float | None:
    """What is left of primary_stop_timeout for an orderly stop under way; None: it does not count.

    It counts from the moment at which PostgreSQL no longer answers: the checkpoint before a planned
    stop, while clients still work, may take its time.
    """
    limit, job, answers = s.policy.primary_stop_timeout_seconds, s.job, s.postgres.server
    if not is_on(s) or limit <= 0 or job is None or job.kind is not JobKind.STOP:
        return None
    if isinstance(answers, Known):
        return limit
    return limit - (s.now - max(job.since, answers.since))


def leaving_seconds(s: Snapshot) -> float:
    """How long a synchronous standby waits, before it stops, for the leader to release it."""
    return 2 * s.policy.loop_wait_seconds


# --- the key --------------------------------------------------------------------------------------


def key(s: Snapshot) -> SyncState | None:
    """The `sync` key, if it names a leader; one that names none was never in use."""
    view = views.cluster(s)
    return view.sync if view and view.sync and view.sync.leader else None


def revision(s: Snapshot) -> int:
    """The revision of the `sync` key, whatever it says; 0 when there is none, or it is unknown."""
    view = views.cluster(s)
    return view.sync.revision if view and view.sync else 0


def promise(s: Snapshot) -> Promise:
    """What the key promises beside the leader that it names."""
    now = key(s)
    if now is None:
        return Promise()
    return Promise(frozenset(n.lower() for n in now.standbys) - {now.leader.lower()}, now.quorum)


def named(s: Snapshot) -> frozenset[str]:
    """Whom the key names: its leader and its voters."""
    now = key(s)
    return frozenset(n.lower() for n in (now.leader, *now.standbys)) if now else quorum.NOBODY


def votes_of(s: Snapshot, name: str, voters: frozenset[str]) -> int:
    """How many votes that member has if these vote for it; who is not named starts at -1.

    Only the others that the key names count; `voters` are in lower case.
    """
    names, who = named(s), name.lower()
    return len((names & voters) - {who}) - (0 if who in names else 1)


# --- who could confirm commits --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standby:
    """A member that streams from here and may be synchronous; `lags` by maximum_lag_on_syncnode."""

    name: str  # in lower case
    member: Member
    row: ReplicationRow
    lags: bool


def eligible(s: Snapshot) -> tuple[Member, ...]:
    """The other members whose tags let them be synchronous, and whose name only they have."""
    others = views.other_members(s)
    names = [m.name.lower() for m in (*others, s.me)]
    return tuple(
        m
        for m, name in zip(others, names, strict=False)
        if not m.tags.nosync and m.tags.sync_priority > 0 and names.count(name) == 1
    )


def fit(s: Snapshot) -> tuple[Standby, ...]:
    """The eligible members that stream from here beyond doubt, the preferred ones first.

    Those that are synchronous already come before others of the same sync_priority, so that a
    position that is a little better changes nothing.
    """
    here = views.server(s)
    if here is None:
        return ()
    rows: dict[str, list[ReplicationRow]] = {}
    for row in here.replication:
        rows.setdefault(row.application_name.lower(), []).append(row)
    found = []
    for member in eligible(s):
        own = rows.get(member.name.lower(), [])
        # Two connections of one name: nobody knows which of them PostgreSQL counts.
        if len(own) == 1 and _is_streamed_to(s, here, member, own[0]):
            found.append(Standby(member.name.lower(), member, own[0], _lags(s, here, own[0])))
    if len(found) > 1:
        current = promise(s).voters | in_force(s).members
        current |= quorum.NOBODY if are_settled(s) else written(s).members
        found.sort(key=lambda x: _order(x, current))
    return tuple(found)


def _order(x: Standby, current: frozenset[str]) -> tuple[object, ...]:
    tags = x.member.tags
    place = (x.lags, tags.never_leads, -tags.sync_priority, x.name not in current)
    return (*place, -(x.row.flush_lsn or 0), x.name)


def _is_streamed_to(s: Snapshot, here: Server, member: Member, row: ReplicationRow) -> bool:
    """Whether that connection is the member's own; a receiver that borrows its name is not.

    The member says itself that it runs and streams, and the connection uses its slot.
    """
    says = member.state == "running" and member.replication_state in {None, "streaming"}
    if not says or row.state != "streaming" or row.flush_lsn is None:
        return False
    if not s.policy.use_slots:
        return True
    name = upstreams.slot_name(member.name)
    used_by = next((x.active_pid for x in here.slots if x.name == name), None)
    return used_by is not None and used_by == row.pid


def _lags(s: Snapshot, here: Server, row: ReplicationRow) -> bool:
    """By what a commit waits for: replayed with remote_apply, written with remote_write."""
    limit = s.policy.maximum_lag_on_syncnode_bytes
    waited = {"remote_apply": row.replay_lsn, "remote_write": row.write_lsn}
    at = waited.get(s.policy.synchronous_commit, row.flush_lsn)
    return limit > 0 and (here.write_lsn or 0) - (at or 0) > limit


# --- the names ------------------------------------------------------------------------------------


def in_force(s: Snapshot) -> Names:
    """`synchronous_standby_names` as PostgreSQL has it now; unknown counts as none."""
    here = views.server(s)
    return quorum.names_of(here.sync_names) if here else Names()


def written(s: Snapshot) -> Names:
    """The names that we wrote into the configuration; none when they are left to the operator."""
    return quorum.names_of(s.postgres.written_sync_names or "")


def are_settled(s: Snapshot) -> bool:
    """Whether the names that we wrote are the ones in force."""
    here = views.server(s)
    return here is not None and here.sync_names == s.postgres.written_sync_names


def are_kept(s: Snapshot, promised: Promise) -> bool:
    """Whether the names keep the promise: those in force, and those that a restart would load."""
    kept = quorum.keeps(in_force(s), promised)
    same = s.postgres.written_sync_names is None or are_settled(s)
    return kept and (same or quorum.keeps(written(s), promised))


def confirmed(s: Snapshot) -> frozenset[str]:
    """Who has all that was acknowledged before the names in force were; nobody until that is known.

    PostgreSQL counts them, and they have flushed up to a position that was read once all of its
    processes had the names.
    """
    here, memory = views.server(s), s.memory
    if here is None or memory.sync_names_lsn is None or memory.sync_names != here.sync_names:
        return quorum.NOBODY
    return frozenset(
        x.name
        for x in fit(s)
        if x.row.sync_state in {"sync", "quorum"}
        and (x.row.flush_lsn or 0) >= memory.sync_names_lsn
    )


# --- what is wanted -------------------------------------------------------------------------------


def target(s: Snapshot) -> tuple[Names, Promise]:
    """The names and the promise that this moment asks for."""
    members = wanted_members(s)
    if not members:
        return without_standby(s), Promise()
    if s.policy.synchronous_mode == "quorum":
        return quorum.some_of(members, s.policy.synchronous_node_count)
    return quorum.all_of(members)


def without_standby(s: Snapshot) -> Names:
    """The names while nobody is confirmed: none, or in strict mode whoever comes first.

    Strict mode waits for one of the members, never for just anybody: a backup receiver can't lead.
    """
    if not s.policy.synchronous_mode_strict:
        return Names()
    names = frozenset(m.name.lower() for m in eligible(s)) or frozenset({quorum.PLACEHOLDER})
    return Names(1, names)


def wanted_members(s: Snapshot) -> frozenset[str]:
    """Who shall be synchronous: in mode `on` synchronous_node_count of the fit, else all of them.

    Who is replaced stays until everybody who comes is a voter, so that there always is one.
    """
    found, voters = fit(s), promise(s).voters
    if s.policy.synchronous_mode == "quorum":
        return _wanted_voters(s, found, voters)
    chosen = frozenset(x.name for x in found[: s.policy.synchronous_node_count])
    if chosen <= voters:
        return chosen
    return chosen | (voters & {x.name for x in found})


def _wanted_voters(
    s: Snapshot, found: tuple[Standby, ...], voters: frozenset[str]
) -> frozenset[str]:
    """All that are fit, the lagging only if there are too few; some go before others come."""
    quick = [x for x in found if not x.lags]
    enough = len(quick) >= s.policy.synchronous_node_count
    wanted = frozenset(x.name for x in (quick if enough else found))
    both = wanted & voters
    return both if both and not voters <= wanted else wanted


def spelled(s: Snapshot, names: frozenset[str]) -> tuple[str, ...]:
    """These names as the members, or else the key, spell them; sorted."""
    now = key(s)
    spelling = {n.lower(): n for n in (now.standbys if now else ())}
    spelling |= {m.name.lower(): m.name for m in views.other_members(s)}
    return tuple(sorted(spelling.get(name, name) for name in names))
