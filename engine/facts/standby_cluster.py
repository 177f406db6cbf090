"""Facts about a standby cluster: a cluster whose leader follows a primary outside of it."""

from engine import lineage, upstreams, views
from engine.facts.lease import another_owns_the_lock, i_own_the_lock
from engine.facts.postgres import runs_as_primary, runs_as_standby
from engine.rule import fact
from engine.state import Snapshot, Unknown


def _remote(s: Snapshot) -> str:
    at = s.policy.standby_cluster
    if at is None:
        return "no standby_cluster section"
    return f"standby cluster of {at.host}:{at.port}" if at.host else "standby cluster of an archive"


@fact(_remote)
def in_standby_cluster(s: Snapshot) -> bool:
    """The dynamic configuration has a section standby_cluster."""
    return s.policy.standby_cluster is not None


@fact(lambda s: f"{_remote(s)}, lock_owner={views.leader_name(s) or 'nobody or unknown'}")
def leads_a_standby_cluster(s: Snapshot) -> bool:
    """We own the lock of a standby cluster."""
    return in_standby_cluster.holds(s) and i_own_the_lock.holds(s)


@fact(_remote)
def runs_as_leader(s: Snapshot) -> bool:
    """PostgreSQL runs as primary, or as the standby that leads a standby cluster."""
    return runs_as_primary.holds(s) or (
        leads_a_standby_cluster.holds(s) and runs_as_standby.holds(s)
    )


@fact(lambda s: f"{_remote(s)}, lock_owner={views.leader_name(s) or 'nobody or unknown'}")
def somebody_is_to_be_followed(s: Snapshot) -> bool:
    """Another member owns the lock, or it is for us to follow the remote primary."""
    return another_owns_the_lock.holds(s) or upstreams.follows_remote(s)


def _answer(s: Snapshot) -> str:
    told = lineage.told_timeline(s)
    if told is None:
        return f"{_remote(s)}, its timeline unknown: {lineage.leader_silent_why(s)}"
    return f"{_remote(s)}, on timeline {told.timeline} of system {told.system_identifier}"


def remote_is_silent(s: Snapshot) -> bool:
    """The remote primary was asked for its timeline and gave no answer."""
    return lineage.compares_with_remote(s) and isinstance(s.leader_timeline, Unknown)


@fact(_answer)
def remote_is_unasked(s: Snapshot) -> bool:
    """There is a remote primary, and it was not asked for its timeline a moment ago."""
    to_be_asked = lineage.compares_with_remote(s) and not remote_is_silent(s)
    return to_be_asked and lineage.told_timeline(s) is None


@fact(lambda s: f"{_answer(s)}, diverged_from={s.memory.diverged_from or 'nobody'}")
def may_start_unasked(s: Snapshot) -> bool:
    """The remote primary is silent, and nothing was found against our WAL."""
    found = s.memory.rewinding or s.memory.needs_new_copy or s.memory.diverged_from
    return remote_is_silent(s) and not found


@fact(_answer)
def remote_is_foreign(s: Snapshot) -> bool:
    """The remote primary told another system identifier than ours; unknown counts as no."""
    told = lineage.told_timeline(s)  # never of a foreign server in our leader's place
    return told is not None and lineage.is_foreign(s, told)


def _stream(s: Snapshot) -> str:
    here = views.server(s)
    state = here.replication_state if here else None
    up = f"{s.wall - here.started_epoch:.0f}s" if here else "unknown"
    return f"{_remote(s)}, replication state {state}, up for {up}"


@fact(_stream)
def remote_stream_is_down(s: Snapshot) -> bool:
    """We should stream from the remote primary, have had a loop's time to begin, and do not."""
    here = views.server(s)
    if here is None or not upstreams.follows_remote(s) or upstreams.streams_from(s) is None:
        return False
    settled = s.wall - here.started_epoch >= s.policy.loop_wait_seconds
    return settled and here.replication_state != "streaming"


@fact(lambda s: f"bootstrap_copied={s.memory.bootstrap_copied}")
def bootstrap_is_a_copy(s: Snapshot) -> bool:
    """What we bootstrap is a copy of a remote primary, which may never begin as a primary."""
    return s.memory.bootstrap_copied


@fact(lambda s: f"lock free since {s.memory.lock_free_since}, now={s.now:.1f}")
def lock_was_free_for_a_loop(s: Snapshot) -> bool:
    """Nobody has led for a whole loop."""
    since = s.memory.lock_free_since
    return since is not None and s.now - since >= s.policy.loop_wait_seconds
