"""A rewound server whose source is lost before it has the WAL that it needs: what PostgreSQL does.

What the rules count on: it waits for ever, and a second pg_rewind ends well and leaves pages behind
that no leader has.  And a rewind whose end nobody saw: a second one would make it diverge.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.postgres.errors import PostgresError
from shell.postgres.instance import Instance
from shell.postgres.unfinished import mark_path
from tests.postgres.cluster import Cluster, server
from tests.support.wait import wait_for


def segments(node: Instance, timeline: int) -> list[Path]:
    """The files of that timeline's WAL, in order."""
    return sorted((node.data_dir / "pg_wal").glob(f"{timeline:08X}" + 16 * "[0-9A-F]"))


def rewound_without_its_last_wal(cluster: Cluster) -> tuple[Instance, Instance]:
    """`a`, rewound to `b` and short of WAL; and `c`, which leads since `b` was lost.

    `b` has gone on while the files of `a` were copied, as pg_rewind allows: what was not in its
    list is not there.
    """
    a = cluster.primary("a")
    cluster.sql("a", "CREATE TABLE public.t (i int, v text) WITH (autovacuum_enabled = off)")
    cluster.sql("a", "INSERT INTO public.t SELECT g, 'old' FROM generate_series(1, 50) g")
    b, c = cluster.standby("b", "a"), cluster.standby("c", "a")
    wait_for(lambda: cluster.sql("c", "SELECT count(*) FROM public.t")[0][0] == 50, 10, "c")
    b.stop("fast")
    c.stop("fast")
    cluster.sql("a", "UPDATE public.t SET v = 'only a' WHERE i = 1")
    a.stop("fast")
    assert b.start("standby", None, 30)
    b.promote(20)
    b.checkpoint()
    assert c.start("standby", cluster.upstream("b"), 30)
    wait_for(lambda: server(c).timeline == 2, 20, "c to follow b")
    c.stop("fast")
    cluster.sql(
        "b", "CREATE TABLE public.u AS SELECT repeat('x', 200) FROM generate_series(1, 9999)"
    )
    copied = str(cluster.sql("b", "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0])
    cluster.sql("b", "SELECT pg_switch_wal()")
    cluster.sql("b", "UPDATE public.t SET v = 'only b' WHERE i = 1")
    b.checkpoint()
    a.rewind(cluster.upstream("b"))
    for path in segments(a, 2):
        if path.name > copied:
            path.unlink()
    assert segments(a, 2), "pg_rewind copies the source's WAL"
    b.stop("immediate")
    assert c.start("standby", None, 30)
    c.promote(20)
    c.checkpoint()
    return a, c


def test_a_rewound_standby_waits_for_lost_wal_for_ever(cluster: Cluster) -> None:
    """The look tells what it needs, and the leader's history that it will not get it."""
    a, _ = rewound_without_its_last_wal(cluster)
    control = a.observe().directory.control
    assert control is not None
    needs = control.min_recovery_timeline, control.min_recovery_lsn
    assert a.observe().must_reach is None
    assert not a.start("standby", cluster.upstream("c"), 8)
    seen = a.observe()
    assert (seen.starting, seen.must_reach) == (True, needs)
    told = a.leader_timeline(cluster.upstream("c"))
    left = next(line.lsn for line in told.history if line.timeline == 2)
    assert told.same_wal is not False, "what is here may be the same: the numbers tell"
    assert needs[0] == 2
    assert needs[1] > left

    a.stop("immediate")
    a.rewind(cluster.upstream("c"))
    assert a.start("standby", cluster.upstream("c"), 30)
    pages = [cluster.sql(name, "SELECT xmax::text FROM public.t WHERE i = 1") for name in "ac"]
    assert pages[0] != pages[1], "a page that only the lost primary had is served"


def parted(cluster: Cluster) -> tuple[Instance, Instance]:
    """`a`, stopped with a row that nobody else has, and `b`, which leads since."""
    a = cluster.primary("a")
    cluster.sql("a", "CREATE TABLE public.t (i int, v text)")
    b = cluster.standby("b", "a")
    wait_for(lambda: cluster.sql("b", "SELECT to_regclass('public.t')")[0][0], 10, "b")
    b.stop("fast")
    cluster.sql("a", "INSERT INTO public.t VALUES (1, 'only a')")
    a.stop("fast")
    assert b.start("standby", None, 30)
    b.promote(20)
    b.checkpoint()
    cluster.sql("b", "INSERT INTO public.t VALUES (2, 'b')")
    return a, b


def test_a_rewind_that_ended_unseen_is_not_repeated(cluster: Cluster) -> None:
    """The daemon died before it saw that pg_rewind ended: what is there is a standby of `b`."""
    a, _ = parted(cluster)
    a.rewind(cluster.upstream("b"))
    (a.data_dir / "standby.signal").unlink()  # as a daemon leaves it that is killed before the end
    seen = a.observe().directory
    a.rewind(cluster.upstream("b"))
    assert a.observe().directory.control == seen.control
    assert a.observe().directory.standby_signal
    assert a.start("standby", cluster.upstream("b"), 30)
    cluster.sql("b", "INSERT INTO public.t VALUES (3, 'b')")
    rows = "SELECT i FROM public.t ORDER BY i"
    wait_for(lambda: cluster.sql("a", rows) == [(2,), (3,)], 20, "a to have what b has")
    assert server(a).replication_state == "streaming"
    assert not mark_path(a.data_dir).exists()


def test_a_rewind_before_the_machine_restarted_is_not_trusted(newest: Cluster) -> None:
    """What pg_rewind wrote last may be on disk while other files are not; it can't be repeated."""
    a, _ = parted(newest)
    a.rewind(newest.upstream("b"))
    control = a.observe().directory.control
    path = mark_path(a.data_dir)
    for text in ("", "rewind 1 1\n", "rewind 1 1 another-boot\n"):
        path.write_text(text)
        with pytest.raises(PostgresError, match="can't be repeated"):
            a.rewind(newest.upstream("b"))
    assert a.observe().directory.control == control
