"""Facts about synchronous replication: the key, the names, and which of them may change next."""

from engine import asking, candidates, quorum, views
from engine import synchronous as sync
from engine.facts.work import restart_is_due
from engine.rule import fact
from engine.state import PeerAnswer, RequestKind, Snapshot
from engine.timelines import lsn_text


def _key(s: Snapshot) -> str:
    now = sync.key(s)
    if now is None:
        return "sync names nobody"
    quorum_text = f", quorum {now.quorum}" if now.quorum else ""
    return f"sync: leader {now.leader}, standbys {', '.join(now.standbys) or 'none'}{quorum_text}"


def _names(s: Snapshot) -> str:
    here, ours = views.server(s), s.postgres.written_sync_names
    in_force = f"'{here.sync_names}'" if here else "unknown"
    return f"names in force {in_force}, written {'none of ours' if ours is None else repr(ours)}"


def _wanted(s: Snapshot) -> str:
    names, promise = sync.target(s)
    voters = ", ".join(sorted(promise.voters)) or "none"
    confirmed = ", ".join(sorted(sync.confirmed(s))) or "nobody"
    return (
        f"{_key(s)}; {_names(s)}; wanted '{quorum.text_of(names)}' and standbys {voters}, "
        f"quorum {promise.quorum}; confirmed: {confirmed}"
    )


@fact(lambda s: f"synchronous_mode={s.policy.synchronous_mode}")
def synchronous_mode_is_on(s: Snapshot) -> bool:
    """synchronous_mode is `on` or `quorum`."""
    return sync.is_on(s)


@fact(_key)
def sync_key_is_there(s: Snapshot) -> bool:
    """The store has a `sync` key, whatever it says."""
    return sync.revision(s) > 0


@fact(_key)
def sync_key_names_me_as_leader(s: Snapshot) -> bool:
    """The `sync` key is ours: nobody else has taken it over since we wrote it."""
    now = sync.key(s)
    return now is not None and now.leader == s.me.name


@fact(_key)
def another_led_synchronously(s: Snapshot) -> bool:
    """In synchronous mode the `sync` key names another leader: it has led after us."""
    now = sync.key(s)
    return sync.is_on(s) and now is not None and now.leader != s.me.name


@fact(_key)
def i_led_synchronously(s: Snapshot) -> bool:
    """In synchronous mode the `sync` key names us as its leader: nobody has led after us."""
    return candidates.has_led_last(s, s.me.name)


def _stop(s: Snapshot) -> str:
    left = sync.stop_seconds_left(s)
    limit = f"primary_stop_timeout={s.policy.primary_stop_timeout_seconds:g}s"
    return limit if left is None else f"{limit}, {left:.1f}s left"


@fact(_stop)
def stop_takes_too_long(s: Snapshot) -> bool:
    """In synchronous mode an orderly stop of the primary has taken primary_stop_timeout."""
    left = sync.stop_seconds_left(s)
    return left is not None and left <= 0


def _leaving(s: Snapshot) -> str:
    since = s.memory.leaving_since
    asked = "not asked to be released" if since is None else f"asked {s.now - since:.1f}s ago"
    return f"{_key(s)}; {asked}, {sync.leaving_seconds(s):g}s allowed"


@fact(_leaving)
def i_am_synchronous(s: Snapshot) -> bool:
    """Commits wait, or count, on what this member confirms: the `sync` key names it."""
    return sync.is_on(s) and s.me.name.lower() in sync.promise(s).voters


@fact(_leaving)
def leaving_takes_too_long(s: Snapshot) -> bool:
    """The leader has not released us within two loops."""
    since = s.memory.leaving_since
    return since is not None and s.now - since >= sync.leaving_seconds(s)


@fact(_leaving)
def leaving_is_over(s: Snapshot) -> bool:
    """We asked to be released, and neither a stop nor a new copy is due any more."""
    due = s.stopping or s.memory.restarting_since is not None or s.memory.reinitialize
    asked = restart_is_due(s) or any(r.kind is RequestKind.REINITIALIZE for r in s.requests)
    return s.memory.leaving_since is not None and not due and not asked


# --- becoming the leader --------------------------------------------------------------------------


def _raced(s: Snapshot) -> str:
    return f"{_key(s)} at revision {sync.revision(s)}, raced on {s.memory.raced_on}"


@fact(_raced)
def sync_key_is_claimed(s: Snapshot) -> bool:
    """Since our race the `sync` key was written by us: nobody but we may lead by it."""
    claimed = sync_key_names_me_as_leader.holds(s) and not sync.promise(s).voters
    raced = s.memory.raced_on
    return claimed and raced is not None and sync.revision(s) != raced


@fact(_raced)
def sync_key_is_as_raced_on(s: Snapshot) -> bool:
    """The `sync` key is the one by which this daemon decided that we may lead, or there is none.

    Without the key nobody has been promised anything.
    """
    return sync.revision(s) in {0, s.memory.raced_on}


@fact(_names)
def promotion_names_are_in_force(s: Snapshot) -> bool:
    """This standby would come up as primary with the names that its first commits must wait for."""
    if not sync.is_on(s):
        return s.postgres.written_sync_names is None
    wanted = quorum.text_of(sync.without_standby(s))
    settled = sync.are_settled(s) and not s.postgres.setting_sync_names
    return settled and s.postgres.written_sync_names == wanted


def _votes(s: Snapshot) -> str:
    now = sync.key(s)
    return f"{votes(s)} votes, {now.quorum if now else 0} needed; {_key(s)}"


def votes(s: Snapshot) -> int:
    """How many voters, or the former leader, answered that they are not ahead of us."""
    return _votes_for(s, s.me.name, _my_end(s))


def _votes_for(s: Snapshot, name: str, end: tuple[int, int] | None) -> int:
    """How many of the others that `sync` names have, as far as we see, no more WAL than `end`.

    That is (timeline, LSN), of the member of that name.
    """
    told = {a.name.lower(): _end_told(s, a) for a in asking.answers(s)}
    told[s.me.name.lower()] = _my_end(s)
    behind = frozenset(
        other for other, its in told.items() if its is not None and end is not None and its <= end
    )
    return sync.votes_of(s, name, behind)


def _my_end(s: Snapshot) -> tuple[int, int] | None:
    here = views.server(s)
    at = views.position(here)
    return None if here is None or here.timeline is None or at is None else (here.timeline, at)


def _end_told(s: Snapshot, a: PeerAnswer) -> tuple[int, int] | None:
    """(timeline, LSN) that the member told; None where it may have more.

    A standby that was started again and still reads what is there may have confirmed more than it
    tells.  So may one that has not looked since the lock became free.
    """
    since = s.memory.lock_free_since
    if not a.reachable or a.stale or a.unread_wal or a.timeline is None or a.lsn is None:
        return None
    is_old = since is not None and asking.told_of(a) < since
    return None if is_old else (a.timeline, a.lsn)


@fact(_votes)
def too_few_votes(s: Snapshot) -> bool:
    """Too few of the voters that `sync` names were seen not ahead of us; silence is no vote.

    The leader that `sync` names needs none: nothing is acknowledged that it does not have.
    """
    now = sync.key(s)
    if not sync.is_on(s) or now is None or now.leader == s.me.name:
        return False
    return votes(s) < now.quorum


@fact(lambda s: f"{_key(s)}; failover: {views.failover_request(s)}")
def named_candidate_gets_votes(s: Snapshot) -> bool:
    """As far as we see, the candidate that `failover` names gets as many votes as it needs.

    Where the mode is not `quorum`, it needs none.
    """
    request = views.failover_request(s)
    candidate = asking.answer_of(s, request.candidate) if request else None
    return candidate is None or gets_votes(s, candidate)


def gets_votes(s: Snapshot, candidate: PeerAnswer) -> bool:
    """Whether, as far as we see, that member gets the votes that it needs in mode `quorum`."""
    now = sync.key(s)
    if s.policy.synchronous_mode != "quorum" or now is None or now.leader == candidate.name:
        return True
    return _votes_for(s, candidate.name, _end_told(s, candidate)) >= now.quorum


# --- the names in force, and since when -----------------------------------------------------------


def _watch(s: Snapshot) -> str:
    memory, here = s.memory, views.server(s)
    listens = here.checkpointer_listens if here else False
    return (
        f"{_names(s)}, seen in force: {memory.sync_names!r} "
        f"for {s.now - memory.sync_names_since:.1f}s, position "
        f"{lsn_text(memory.sync_names_lsn)}, checkpointer listens: {listens}"
    )


@fact(_names)
def names_are_ours(s: Snapshot) -> bool:
    """The written configuration has synchronous_standby_names from us."""
    return s.postgres.written_sync_names is not None


@fact(lambda s: f"{_names(s)}, being set: {s.postgres.setting_sync_names}")
def names_are_being_set(s: Snapshot) -> bool:
    """Names that were decided on earlier are being written, and may come into force any moment."""
    return s.postgres.setting_sync_names


@fact(_watch)
def names_are_watched(s: Snapshot) -> bool:
    """It is remembered since when the names in force are in force."""
    here = views.server(s)
    return here is not None and s.memory.sync_names == here.sync_names


@fact(_watch)
def names_position_is_known(s: Snapshot) -> bool:
    """It is remembered which position must be confirmed under the names in force."""
    return s.memory.sync_names_lsn is not None


@fact(_watch)
def names_are_obeyed(s: Snapshot) -> bool:
    """Every process of PostgreSQL has had the time to read the names; a busy checkpointer has not.

    The checkpointer is the one that tells others to wait for commits at all.
    """
    here, seen = views.server(s), s.postgres.server
    if here is None or here.write_lsn is None or not here.checkpointer_listens:
        return False
    when = getattr(seen, "when", 0.0)
    return when - s.memory.sync_names_since >= sync.SETTLE_SECONDS


# --- the next step --------------------------------------------------------------------------------


@fact(lambda s: f"{_key(s)}; {_names(s)}")
def sync_key_promises_too_much(s: Snapshot) -> bool:
    """Under the names in force a commit may be acknowledged that a winner by `sync` has not."""
    return not sync.are_kept(s, sync.promise(s))


@fact(lambda s: f"revision {sync.revision(s)}, our last write was for {s.memory.sync_asked}")
def sync_key_is_certain(s: Snapshot) -> bool:
    """No write of the key from before can still be carried out, whoever sent it.

    Each is for one revision; since we took the lock, we have asked for another one, and got it.
    """
    return s.memory.sync_asked is not None and sync.revision(s) != s.memory.sync_asked


@fact(_wanted)
def sync_key_is_right(s: Snapshot) -> bool:
    """The `sync` key promises what it should."""
    return sync.promise(s) == sync.target(s)[1]


@fact(_wanted)
def sync_key_may_follow(s: Snapshot) -> bool:
    """What `sync` should promise is kept by the names, and true of what was acknowledged before."""
    wanted = sync.target(s)[1]
    if not sync.are_kept(s, wanted):
        return False
    if quorum.narrows(sync.promise(s), wanted):
        return True
    return sync.are_settled(s) and quorum.proven(wanted, sync.confirmed(s))


@fact(_wanted)
def sync_names_are_right(s: Snapshot) -> bool:
    """The names that should be in force are written, and are in force."""
    wanted = quorum.text_of(sync.target(s)[0])
    return sync.are_settled(s) and s.postgres.written_sync_names == wanted


@fact(_wanted)
def sync_names_may_follow(s: Snapshot) -> bool:
    """The names that should be in force keep what `sync` promises now."""
    return quorum.keeps(sync.target(s)[0], sync.promise(s))
