"""From settings to connection strings and file contents; nothing is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from psycopg2.extensions import parse_dsn

from engine.actions import Upstream
from shell.config.settings_postgresql import PgUser
from shell.postgres import configuration, conninfo, pgpass, plans
from shell.postgres.quoting import format_lsn, parse_lsn
from tests.postgres.cluster import Cluster

UPSTREAM = Upstream("b", "10.0.0.2", 5433, "a")


def test_connection_strings_survive_any_value() -> None:
    """Libpq reads back exactly the values that went in."""
    values = {"user": "it's", "dbname": "two words", "passfile": "/a\\b'c", "host": "h"}
    assert parse_dsn(conninfo.build(values)) == values
    assert conninfo.build({"host": "h", "port": None, "sslmode": ""}) == "host=h"


def test_primary_conninfo_has_only_what_the_version_knows(newest: Cluster) -> None:
    """Newer libpq options and dbname appear only for versions that understand them."""
    settings = newest.settings("a")
    authentication = settings.postgresql.authentication
    user = PgUser("rep", "pw", {"sslnegotiation": "direct", "gssencmode": "disable"})
    settings = replace(
        settings,
        postgresql=replace(
            settings.postgresql, authentication=replace(authentication, replication=user)
        ),
    )
    old = parse_dsn(plans.primary_conninfo(settings, UPSTREAM, 15))
    new = parse_dsn(plans.primary_conninfo(settings, UPSTREAM, 17))
    assert (old["host"], old["port"]) == ("10.0.0.2", "5433")
    assert (old["application_name"], old["sslmode"]) == ("a", "prefer")
    assert old["gssencmode"] == "disable"
    assert "sslnegotiation" not in old
    assert "dbname" not in old
    assert (new["sslnegotiation"], new["dbname"]) == ("direct", "postgres")
    assert "pw" not in old.values()
    assert plans.upstream_of({"primary_conninfo": conninfo.build(old)}) == Upstream(
        "", "10.0.0.2", 5433, None
    )


def test_several_hosts_ask_for_the_writable_one(newest: Cluster) -> None:
    """An upstream of several hosts gets target_session_attrs, and a password line for each."""
    upstream = Upstream("remote", "one,two", 5432)
    text = plans.primary_conninfo(newest.settings("a"), upstream, 16)
    assert parse_dsn(text)["target_session_attrs"] == "read-write"
    entries = [pgpass.Entry("one,/run/pg", "5432,5433", "u:x", "p\\w")]
    assert pgpass.lines(entries) == [
        "one:5432:*:u\\:x:p\\\\w",
        "/run/pg:5433:*:u\\:x:p\\\\w",
        "localhost:5432:*:u\\:x:p\\\\w",
    ]


def test_operators_recovery_settings_are_kept_but_targets_are_not(newest: Cluster) -> None:
    """recovery_conf reaches standbys, except targets and the connection, which are ours."""
    settings = newest.settings(
        "a",
        recovery_conf={
            "restore_command": "cp /x/%f %p",
            "recovery_target_time": "2026-01-01",
            "primary_conninfo": "host=evil",
        },
    )
    found = plans.recovery_settings(settings, UPSTREAM, 16)
    assert found["restore_command"] == "cp /x/%f %p"
    assert "recovery_target_time" not in found
    assert "10.0.0.2" in found["primary_conninfo"]
    assert (found["recovery_target_timeline"], found["primary_slot_name"]) == ("latest", "a")


def test_operators_retry_interval_is_respected(folder: Path) -> None:
    """Our faster reconnection is only a default: a value in the operator's own file stays."""
    plan = configuration.FilesPlan(folder, folder, "postgresql", None, {})
    assert "wal_retrieve_retry_interval = '500ms'" in configuration.render(plan)
    (folder / "postgresql.base.conf").write_text("wal_retrieve_retry_interval = 2s # ours\n")
    assert "wal_retrieve_retry_interval" not in configuration.render(plan)


def test_lsns_survive_both_ways() -> None:
    """LSNs are the same after writing and reading; garbage is None."""
    for lsn in (0, 1, 0x3000060, 2**64 - 1):
        assert parse_lsn(format_lsn(lsn)) == lsn
    assert parse_lsn(None) is parse_lsn("nonsense") is parse_lsn("X/Y") is None
