"""Facts about a store that does not hold the cluster: never founded, or all its keys lost."""

from engine import views
from engine.facts.postgres import we_are_seen
from engine.rule import fact
from engine.state import Snapshot

NO_DATA = ("", "uninitialized")  # roles of a member whose directory holds no server


def leases_over_at(s: Snapshot) -> float | None:
    """When every lease from before the store lost the keys has ended; None if nothing was lost.

    Where this daemon has known the store only like this, they may have gone a moment before; but
    not where no cluster was ever seen here.
    """
    lost = s.keys_lost
    if lost is None or not (lost.seen or s.memory.knows_cluster):
        return None
    return lost.at + views.longest_ttl_seconds(s)


def _loss(s: Snapshot) -> str:
    lost = s.keys_lost
    if lost is None:
        return "the store holds the cluster, or a leader"
    how = "its keys went" if lost.seen else "found without its keys"
    longest = f"leases of up to {views.longest_ttl_seconds(s):g}s"
    return f"{how} {s.now - lost.at:.1f}s ago, {longest}"


@fact(lambda s: f"knows_cluster={s.memory.knows_cluster}")
def cluster_is_noted(s: Snapshot) -> bool:
    """It is remembered that the store has held this cluster."""
    return s.memory.knows_cluster


@fact(_loss)
def keys_were_seen_to_go(s: Snapshot) -> bool:
    """This daemon has seen the store lose the cluster's keys, and they have not come back."""
    return s.keys_lost is not None and s.keys_lost.seen


@fact(lambda s: f"{_loss(s)}, our member key is in the store: {we_are_seen.holds(s)}")
def a_lease_may_be_left(s: Snapshot) -> bool:
    """The store lost the keys, and whoever led before may still count on its lease.

    Until the store shows our own key, the keys could be lost once more without our noticing.
    """
    over_at = leases_over_at(s)
    return over_at is not None and (s.now < over_at or not we_are_seen.holds(s))


def _lost(s: Snapshot) -> str:
    lost = [v.member.name for v in s.vanished if v.with_ours]
    return f"keys lost together with ours: {', '.join(lost) or 'none'}"


@fact(_lost)
def a_running_cluster_lost_its_keys(s: Snapshot) -> bool:
    """Our own key went from the store together with that of a member that was running."""
    lost = (v.member for v in s.vanished if v.with_ours)
    return any(member.name != s.me.name and member.state == "running" for member in lost)


def _with_data(s: Snapshot) -> list[str]:
    others = views.other_members(s)
    return [m.name for m in others if m.role not in NO_DATA or m.state == "unknown"]


@fact(lambda s: f"members with data: {', '.join(_with_data(s)) or 'none'}")
def others_have_data(s: Snapshot) -> bool:
    """Another member publishes that its directory holds a server, or that it has not looked yet.

    An unknown store counts as no.
    """
    return bool(_with_data(s))
