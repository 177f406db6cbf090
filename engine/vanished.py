"""What has gone from the store, from one view to the next.

Bookkeeping that the shell does between two snapshots; what follows from it is the rules'.
"""

from engine.cluster import Cluster, KeysLost, Vanished
from engine.observed import Known, Unknown


def after(
    known: tuple[Vanished, ...], before: Cluster, now: Cluster, me: str, moment: float
) -> tuple[Vanished, ...]:
    """Whose keys have gone, where `known` was true of the view `before`; sorted by name.

    Whoever is back is left out, unless it was lost together with us: then all are kept, until all
    are lost again.  Those that the store had lost before, with a cluster that has not come back
    between, were lost with us as well; and so were those whose key had only ended, since the store
    does not tell any more that they are of the cluster.
    """
    gone = [member for member in before.members if now.member(member.name) is None]
    if any(member.name == me for member in gone):
        came_back = [v for v in known if v.with_ours and before.initialize]
        lost = {v.member.name: v.member for v in known if v not in came_back}
        lost |= {member.name: member for member in before.members}
        return tuple(Vanished(lost[name], moment, with_ours=True) for name in sorted(lost))
    kept = {v.member.name: v for v in known if v.with_ours or now.member(v.member.name) is None}
    for member in gone:
        with_ours = member.name in kept and kept[member.name].with_ours
        kept[member.name] = Vanished(member, moment, with_ours)
    return tuple(kept[name] for name in sorted(kept))


def keys_lost(
    known: KeysLost | None,
    before: Cluster | None,
    now: Cluster,
    me: str,
    moment: float,
    *,
    unwatched: bool,
) -> KeysLost | None:
    """Since when the store does not hold the cluster, where `known` was true of `before`.

    They were lost again, unseen, if our own key has gone once more, or an empty `initialize`: what
    was being founded may have been finished, and lost, while we did not look.  And they may have
    been if the store was `unwatched` between the two views: a leader may have come and gone, and a
    late request of ours have written our own key anew.
    """
    if now.initialize or now.leader is not None:
        return None
    if before is None:
        return KeysLost(moment, seen=False)
    ours_went = before.member(me) is not None and now.member(me) is None
    founding_went = before.initialize is not None and now.initialize is None
    if known is None or ours_went or founding_went:
        return KeysLost(moment, seen=True)
    return KeysLost(moment, known.seen) if unwatched else known


def was_unwatched(
    former: Known[Cluster] | Unknown, seen_at: float, loop_wait_seconds: float
) -> bool:
    """Whether changes between two views may have gone unseen: the store was silent, or we hung."""
    return isinstance(former, Unknown) or seen_at - former.when > 2 * loop_wait_seconds
