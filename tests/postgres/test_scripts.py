"""The operator's own programs: bootstrap and replica methods, post_bootstrap, archive_command."""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.postgres.errors import PostgresError
from tests.postgres.cluster import Cluster, server
from tests.support.wait import wait_for

BASEBACKUP = """#!/bin/sh
echo "$@" >> {folder}/arguments
for word in "$@"; do case $word in
  --datadir=*) target=${{word#--datadir=}};;
  --connstring=*) source=${{word#--connstring=}};;
  --from=*) source=${{word#--from=}};;
esac; done
exec {bin}/pg_basebackup -D "$target" -X stream -c fast -d "$source"
"""


def script(cluster: Cluster, name: str, text: str) -> str:
    """An executable file of that content."""
    path = cluster.folder / name
    path.write_text(text.format(folder=cluster.folder, bin=cluster.install.bin_dir))
    path.chmod(0o755)
    return str(path)


def test_custom_bootstrap_recovers_to_its_target_and_is_writable(newest: Cluster) -> None:
    """A bootstrap command's copy is recovered as recovery_conf says, then promotes itself."""
    newest.primary("a")
    newest.sql("a", "CREATE TABLE public.t AS SELECT 1 AS n")
    passfile = newest.folder / "own.pgpass"
    newest.node("b")
    newest.node("b").data_dir.mkdir()
    newest.node("b").write_configuration("standby", newest.upstream("a"))
    Path(newest.settings_of("b").postgresql.pgpass).rename(passfile)
    port = newest.upstream("a").port
    source = f"host=127.0.0.1 port={port} user=replicator passfile={passfile}"
    node = newest.node("c")
    method = {
        "command": script(newest, "restore", BASEBACKUP),
        "from": source,
        "recovery_conf": {"restore_command": "false", "recovery_target": "immediate"},
    }
    node.use(newest.settings("c", bootstrap={"method": "restore", "restore": method}))
    node.initdb()
    assert node.start("primary", None, 30)
    found = server(node)
    assert (found.in_recovery, found.timeline) == (False, 2)
    assert newest.sql("c", "SELECT n FROM public.t") == [(1,)]
    assert not (node.data_dir / "recovery.signal").exists()
    assert "recovery_target" not in (node.data_dir / "postgresql.conf").read_text()
    assert "--scope=demo" in (newest.folder / "arguments").read_text()


def test_replica_methods_are_tried_in_order(newest: Cluster) -> None:
    """After a method that fails, and is cleaned up, the next one makes the replica."""
    newest.primary("a")
    node = newest.node(
        "b",
        create_replica_methods=["broken", "own"],
        broken={"command": script(newest, "broken", "#!/bin/sh\nmkdir -p {folder}/b/x\nexit 3\n")},
        own={"command": script(newest, "own", BASEBACKUP), "colour": "blue"},
    )
    node.clone(newest.upstream("a"))
    assert node.observe().directory.standby_signal
    arguments = (newest.folder / "arguments").read_text()
    for word in ("--colour=blue", "--scope=demo", "--role=replica", f"--datadir={node.data_dir}"):
        assert word in arguments
    assert node.start("standby", newest.upstream("a"), 30)
    wait_for(lambda: server(node).replication_state == "streaming", 20, "b to stream")


def test_failing_methods_are_all_named(newest: Cluster) -> None:
    """When no method succeeds the error has what each of them said."""
    node = newest.node(
        "b",
        create_replica_methods=["one", "two"],
        one={"command": "sh -c 'echo first went wrong >&2; exit 1'", "no_params": True},
        two={"command": "/no/such/program"},
    )
    with pytest.raises(PostgresError, match=r"first went wrong.*cannot run /no/such/program"):
        node.clone(newest.upstream("b"))


def test_post_bootstrap_can_log_in(newest: Cluster) -> None:
    """post_bootstrap gets a working connection string, and its failure fails the bootstrap."""
    node = newest.node("a")
    psql = newest.install.bin_dir / "psql"
    text = f'#!/bin/sh\nexec {psql} -qX "$1" -c "CREATE TABLE public.made AS SELECT 1"\n'
    command = script(newest, "post", text)
    node.use(newest.settings("a", bootstrap={"post_bootstrap": command}))
    node.initdb()
    assert node.start("primary", None, 30)
    node.create_roles()
    assert newest.sql("a", "SELECT count(*) FROM public.made") == [(1,)]
    with pytest.raises(PostgresError, match=r"post_bootstrap failed.*already exists"):
        node.create_roles()


def test_waiting_wal_is_archived_before_crash_recovery(newest: Cluster) -> None:
    """Segments that a crashed primary could not archive reach the archive before pg_rewind."""
    node = newest.primary("a", parameters={"archive_mode": "on", "archive_command": "false"})
    newest.sql("a", "SELECT pg_switch_wal()")
    status = node.data_dir / "pg_wal/archive_status"
    waiting = wait_for(lambda: list(status.glob("*.ready")), 10, "a segment to wait")
    node.stop("immediate")
    archive = newest.folder / "archive"
    archive.mkdir()
    command = f"cp %p {archive}/%f"
    node.use(newest.settings("a", parameters={"archive_mode": "on", "archive_command": command}))
    node.recover_from_crash()
    assert {path.stem for path in waiting} <= {path.name for path in archive.iterdir()}
    assert waiting[0].with_suffix(".done").exists()


def test_configuration_in_its_own_folder(newest: Cluster) -> None:
    """With config_dir elsewhere a node boots from there, and lost files come back from backups."""
    etc = newest.folder / "etc" / "a"
    node = newest.node("a", config_dir=str(etc), pg_hba=[])
    node.initdb()
    assert node.start("primary", None, 30)
    node.stop("fast")
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        assert (node.data_dir / f"{name}.backup").read_text() == (etc / name).read_text()
    (etc / "pg_hba.conf").unlink()
    assert node.start("primary", None, 30)
    assert (etc / "pg_hba.conf").exists()
    assert newest.sql("a", "SHOW hba_file") == [(str(etc / "pg_hba.conf"),)]
