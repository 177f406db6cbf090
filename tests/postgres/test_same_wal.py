"""Two timelines of one number: PostgreSQL's numbers can't tell them apart, the WAL can."""

from __future__ import annotations

from engine.timelines import opening_of, overwritten
from shell.postgres.instance import Instance
from tests.postgres.cluster import Cluster, server
from tests.support.wait import wait_for


def end_of(node: Instance) -> tuple[int, int]:
    """Timeline and position of a running standby."""
    found = server(node)
    assert found.timeline is not None
    assert found.replay_lsn is not None
    return found.timeline, found.replay_lsn


def follow(cluster: Cluster, name: str, source: str, timeline: int) -> Instance:
    """Let that standby stream from another server until it is on its timeline."""
    node = cluster.node(name)
    node.follow(cluster.upstream(source))
    wait_for(
        lambda: server(node).replication_state == "streaming" and end_of(node)[0] == timeline,
        20,
        f"{name} to be on timeline {timeline}",
    )
    return node


def followed_to_timeline_two(cluster: Cluster) -> Instance:
    """`c`, which has all that `b` wrote on the timeline that it opened after `a` was stopped."""
    cluster.node("a").stop("fast")
    cluster.node("b").promote(20)
    c = follow(cluster, "c", "b", 2)
    cluster.sql("b", "CREATE TABLE public.lost AS SELECT 1 AS n")
    written = cluster.sql("b", "SELECT pg_current_wal_lsn() - '0/0'")[0][0]
    wait_for(lambda: end_of(c)[1] >= written, 10, "c to have what b wrote")
    return c


def test_a_timeline_that_was_opened_twice_is_told_from_its_twin(cluster: Cluster) -> None:
    """A replica of the one that was lost after it opened a timeline is told from the other's."""
    cluster.primary("a")
    for name in ("b", "c", "d"):
        cluster.standby(name, "a")
    a, b, d = cluster.node("a"), cluster.node("b"), cluster.node("d")
    c = followed_to_timeline_two(cluster)
    ours = end_of(c)
    assert c.leader_timeline(cluster.upstream("b"), ours).same_wal is True

    b.stop("immediate")
    before = d.leader_timeline(cluster.upstream("c"), end_of(d))
    assert (before.in_recovery, before.same_wal) == (True, True)
    assert not before.newer_wal_here
    assert c.leader_timeline(cluster.upstream("d"), ours).newer_wal_here
    d.promote(20)
    d.checkpoint()
    cluster.sql("d", "CREATE TABLE public.kept AS SELECT g AS n FROM generate_series(1, 999) g")
    twin = c.leader_timeline(cluster.upstream("d"), ours)
    assert (twin.timeline, twin.same_wal, twin.newer_wal_here) == (2, False, False)
    assert c.leader_timeline(cluster.upstream("d")).same_wal is False

    c.stop("immediate")
    control = c.observe().directory.control
    assert control is not None
    told = c.leader_timeline(
        cluster.upstream("d"), (control.min_recovery_timeline, control.min_recovery_lsn)
    )
    assert told.same_wal is False
    a_again = a.leader_timeline(cluster.upstream("d"), (1, 0))
    assert a_again.same_wal is None


def test_what_was_copied_or_followed_is_the_same_wal(cluster: Cluster) -> None:
    """Neither a switch of segments, nor a fork, nor a rewind makes WAL look like another one."""
    cluster.primary("a")
    b = cluster.standby("b", "a")
    for _ in range(2):
        cluster.sql("a", "SELECT pg_switch_wal()")
        cluster.sql("a", "CREATE TABLE IF NOT EXISTS public.t (n int)")
    cluster.sql("a", "CHECKPOINT")
    position = cluster.sql("a", "SELECT pg_switch_wal() - '0/0'")[0][0]
    wait_for(lambda: end_of(b)[1] >= position, 10, "b to have the empty end of a segment")
    assert b.leader_timeline(cluster.upstream("a"), end_of(b)).same_wal is True

    a, old_end = cluster.node("a"), end_of(b)
    a.stop("immediate")
    b.promote(20)
    b.checkpoint()
    a.recover_from_crash()
    found = a.observe().directory.control
    assert found is not None
    told = a.leader_timeline(cluster.upstream("b"), (found.timeline, found.checkpoint_lsn))
    assert told.same_wal is True, "what follows the fork is for the numbers to judge"
    assert a.leader_timeline(cluster.upstream("b"), old_end).same_wal is True
    cluster.sql("b", "INSERT INTO public.t SELECT generate_series(1, 50000)")
    a.rewind(cluster.upstream("b"))
    rewound = a.observe().directory.control
    assert rewound is not None
    end = (rewound.min_recovery_timeline, rewound.min_recovery_lsn)
    assert a.leader_timeline(cluster.upstream("b"), end).same_wal is not False
    assert a.start("standby", cluster.upstream("b"), 30)
    wait_for(lambda: server(a).replication_state == "streaming", 20, "a to stream from b")
    assert a.leader_timeline(cluster.upstream("b"), end_of(a)).same_wal is True


def test_a_receiver_writes_the_twins_wal_over_ours_and_the_opening_tells(cluster: Cluster) -> None:
    """It begins at the start of its segment: where the fork is in it, nothing else is left."""
    cluster.primary("a")
    for name in ("b", "c", "d"):
        cluster.standby(name, "a")
    cluster.sql("a", "SELECT pg_switch_wal()")
    b, d = cluster.node("b"), cluster.node("d")
    c = followed_to_timeline_two(cluster)
    before = c.leader_timeline(cluster.upstream("b"), end_of(c))
    mine, theirs = opening_of(before, 2), opening_of(b.leader_timeline(cluster.upstream("c")), 2)
    assert mine is not None
    assert theirs is not None
    assert (mine.checksum, opening_of(before, 1)) == (theirs.checksum, None)
    assert mine.copy != theirs.copy

    b.stop("immediate")
    d.promote(20)
    cluster.sql("d", "CREATE TABLE public.kept AS SELECT g AS n FROM generate_series(1, 9999) g")
    told = c.leader_timeline(cluster.upstream("d"), end_of(c))
    assert (told.same_wal, opening_of(told, 2)) == (False, mine)

    c.follow(cluster.upstream("d"))
    wait_for(
        lambda: c.leader_timeline(cluster.upstream("d"), end_of(c)).same_wal is True,
        30,
        "c to have written what d has over its own",
    )
    assert cluster.sql("c", "SELECT n FROM public.lost") == [(1,)]
    told = c.leader_timeline(cluster.upstream("d"), end_of(c))
    assert overwritten(told, mine)
    for statement in cluster.sql(
        "d",
        "SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM rewinder', oid::regprocedure)"
        " FROM pg_proc WHERE proname = 'pg_read_binary_file'",
    ):
        cluster.sql("d", str(statement[0]))
    blind = c.leader_timeline(cluster.upstream("d"), end_of(c))
    assert (blind.same_wal, blind.openings) == (None, told.openings)
