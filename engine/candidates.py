"""Who could lead in our place: what peers answered, held against the configuration and `sync`.

Readings and comparisons that several facts share; nothing here decides.
"""

from engine import asking, views
from engine import synchronous as sync
from engine.state import PeerAnswer, Server, Snapshot


def fit(s: Snapshot) -> tuple[PeerAnswer, ...]:
    """Peers that answered and could take over: no tag, lag or timeline speaks against them."""
    answers = sorted(asking.answers(s), key=views.BY_NAME)
    return tuple(a for a in answers if not refusal(s, a))


def refusal(s: Snapshot, answer: PeerAnswer) -> str:
    """Why that peer can't take over from us; empty if it can."""
    view = views.cluster(s)
    here = views.position(views.server(s)) or (view.optime if view else None)
    if not answer.reachable:
        return f"{answer.name}: does not answer ({answer.why})"
    if answer.nofailover or answer.failover_priority <= 0:
        return f"{answer.name}: tagged nofailover"
    if answer.watchdog_failed:
        return f"{answer.name}: its watchdog failed"
    if not is_listed_for_failsafe(s, answer.name):
        return f"{answer.name}: not named in `failsafe`"
    if answer.stale or answer.lsn is None:
        return f"{answer.name}: its position is unknown"
    lag = None if here is None else here - answer.lsn
    if lags_too_far(s, answer.name, lag):
        limit = s.policy.maximum_lag_on_failover_bytes
        return f"{answer.name}: {lag} bytes behind, {limit} allowed"
    if s.policy.check_timeline and is_on_an_old_timeline(s, answer.name, answer.timeline):
        return f"{answer.name}: on timeline {answer.timeline}, the cluster is on a newer one"
    if not may_lead_in_sync_mode(s, answer.name) and not is_chosen_by_hand(s, answer.name):
        return f"{answer.name}: not a synchronous standby"
    return ""


def lags_too_far(s: Snapshot, name: str, lag: int | None) -> bool:
    """Whether maximum_lag_on_failover keeps that member, so many bytes behind, from leading.

    An unknown lag keeps nobody.
    """
    if lag is None or lag <= s.policy.maximum_lag_on_failover_bytes:
        return False
    return not has_led_last(s, name)


def is_on_an_old_timeline(s: Snapshot, name: str, timeline: int | None) -> bool:
    """Whether check_timeline, where it is on, keeps that member from leading.

    An unknown timeline is older than any.
    """
    newest = views.cluster_timeline(views.cluster(s)) or 0
    return (timeline or 0) < newest and not has_led_last(s, name)


def has_led_last(s: Snapshot, name: str) -> bool:
    """Whether in synchronous mode `sync` names that member as its leader.

    Neither lag nor timeline keeps it back: it has every acknowledged commit but those that an
    operator gave up for it, and where it has just claimed the key, nobody else may lead.
    """
    now = sync.key(s) if sync.is_on(s) else None
    return now is not None and now.leader == name


def is_listed_for_failsafe(s: Snapshot, name: str) -> bool:
    """Whether the `failsafe` key lets that member race: it names it, or is not there."""
    view = views.cluster(s)
    return view is None or view.failsafe is None or name in view.failsafe


def may_lead_in_sync_mode(s: Snapshot, name: str) -> bool:
    """In synchronous mode only the members named in `sync` have every acknowledged commit."""
    view = views.cluster(s)
    if s.policy.synchronous_mode == "off" or view is None or view.sync is None:
        return True
    if s.policy.standby_cluster is not None:
        return True
    if not view.sync.leader:
        return True
    names = {view.sync.leader.lower(), *(n.lower() for n in view.sync.standbys)}
    return name.lower() in names


def is_chosen_by_hand(s: Snapshot, name: str) -> bool:
    """Whether an operator named that member for a failover, or in quorum mode for any hand-over.

    A failover by hand may name an asynchronous member: the operator was asked twice.  In quorum
    mode the votes decide, also about a member outside of the voters.
    """
    request = views.failover_request(s)
    if request is None or request.candidate != name:
        return False
    return request.leader is None or s.policy.synchronous_mode == "quorum"


def compare(here: Server | None, answer: PeerAnswer) -> int:
    """1: the peer has more than we, 0: the same, -1: less.  A newer timeline outweighs position."""
    mine = views.position(here)
    if mine is None or answer.lsn is None:
        return 1 if mine is None else -1
    if answer.timeline and here and here.timeline and answer.timeline != here.timeline:
        return 1 if answer.timeline > here.timeline else -1
    return (answer.lsn > mine) - (answer.lsn < mine)


def wanted(s: Snapshot) -> tuple[PeerAnswer, ...]:
    """The candidates that fit the request: the named one, or anybody."""
    request = views.failover_request(s)
    able = fit(s)
    if request and request.candidate:
        return tuple(a for a in able if a.name == request.candidate)
    return able
