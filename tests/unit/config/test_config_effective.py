"""Defaults, store, file and environment as one typed record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shell.config import LocalConfig, effective, load_local, render_effective
from shell.config.schema import KEYS
from shell.config.settings import SlotMatcher, SlotSettings
from shell.config.settings_postgresql import ReplicaMethod
from shell.config.tags import effective_tags

Load = Callable[..., LocalConfig]

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
JSON = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(max_size=3), v, max_size=2)
)
KNOWN = sorted({part for key in KEYS for part in key.path.split(".")})
DYNAMIC = st.dictionaries(
    st.sampled_from(KNOWN),
    JSON | st.dictionaries(st.sampled_from(KNOWN), JSON, max_size=3),
    max_size=6,
)


def test_the_smallest_configuration_has_sane_defaults(load: Load, minimal: str) -> None:
    """What is not written has the documented default."""
    found, warnings = effective(load(minimal), None)
    assert warnings == []
    assert found.base_path == "/service/demo"
    assert found.store.kind == "etcd3"
    assert found.store.options["hosts"] == ["10.0.0.1:2379", "10.0.0.2:2379"]
    assert found.restapi.api_url == "http://127.0.0.1:8008/patroni"
    assert (found.dynamic.ttl, found.dynamic.loop_wait, found.dynamic.retry_timeout) == (30, 10, 10)
    assert found.dynamic.member_slots_ttl == 1800
    assert found.dynamic.use_slots
    assert not found.bootstrap.present
    assert (found.fence.mode, found.watchdog.mode) == ("automatic", "automatic")
    assert found.recorder.dir == "/srv/pg/hae-records-demo-n1"
    pg = found.postgresql
    assert pg.conn_url == "postgres://127.0.0.1:5432/postgres"
    assert pg.config_dir == pg.data_dir == "/srv/pg/n1"
    assert pg.pgpass == str(Path("~/pgpass").expanduser())
    assert pg.authentication.rewind == pg.authentication.superuser
    assert pg.create_replica_methods == (ReplicaMethod("basebackup", ""),)
    assert (pg.pg_hba, pg.proxy_url, pg.unix_socket_directory) == (None, None, None)
    assert pg.tool("pg_ctl") == "pg_ctl"
    assert pg.parameters["cluster_name"] == "demo"
    assert pg.command_line_parameters["port"] == "5432"


def test_the_full_configuration_reaches_every_record(load: Load, full: str) -> None:
    """Each section of a large node file arrives in its record, normalised."""
    config = load(full)
    found, _ = effective(config, config.bootstrap_dcs)
    pg = found.postgresql
    assert found.base_path == "/service/batman"
    assert found.restapi.api_url == "https://10.1.0.1:8008/patroni"
    assert (found.log.mode, found.log.file_size_bytes) == (0o644, 25 << 20)
    assert found.tags.published == {"clonefrom": True, "replicatefrom": "pg-1", "rack": "b7"}
    assert pg.listen_hosts == ("10.1.0.1", "127.0.0.1")
    assert (pg.local_host, pg.unix_socket_directory) == ("10.1.0.1", "/run/pg")
    assert pg.tool("postgres") == "/usr/lib/postgresql/15/bin/postgres15"
    assert pg.proxy_url == "postgres://10.1.0.1:6432/app"
    assert pg.authentication.superuser.options == {"sslmode": "verify-ca"}
    assert pg.authentication.rewind.username == "rewinder"
    assert pg.parameters["archive_mode"] == "on"
    assert pg.parameters["log_file_mode"] == "0640"
    assert pg.parameters["max_connections"] == "200"
    assert pg.parameters["listen_addresses"] == "10.1.0.1,127.0.0.1"
    assert pg.pg_hba == ("local all all peer",)
    assert pg.pg_ctl_timeout_seconds == 120
    assert pg.basebackup_options == (("verbose", None), ("max-rate", "100M"))
    assert pg.create_replica_methods[0] == ReplicaMethod(
        "pgbackrest",
        "/usr/bin/pgbackrest restore",
        no_params=True,
        keep_data=True,
        options=(("stanza", "x"),),
    )
    assert pg.callbacks.on_role_change == "/bin/cb.sh"
    boot = found.bootstrap
    assert boot.initdb == (("encoding", "UTF8"), ("data-checksums", None), ("locale", "C.UTF-8"))
    assert boot.post_bootstrap == "/usr/local/bin/setup.sh"
    assert boot.custom is not None
    assert boot.custom.options == (("stanza", "batman"),)
    assert boot.custom.recovery_conf["recovery_target_action"] == "promote"
    shared = found.dynamic
    assert shared.synchronous_mode == "on"
    assert shared.slots["logical1"] == SlotSettings("logical1", "logical", "app", "pgoutput")
    assert shared.ignore_slots == (SlotMatcher(name="debezium", type="logical"),)
    assert shared.standby_cluster is not None
    assert shared.standby_cluster.host == "10.9.0.1"
    assert [method.name for method in pg.remote_replica_methods] == ["basebackup"]


def test_the_node_file_wins_except_for_what_the_store_alone_sets(load: Load, minimal: str) -> None:
    """Precedence: default < store < file; parameters key by key; each side's own keys."""
    text = minimal + "  database: here\n  use_slots: true\n  callbacks: {on_stop: /b}\n"
    text += "  parameters: {work_mem: 8MB, max_connections: 500}\nttl: 99\n"
    dynamic = {
        "ttl": 45,
        "postgresql": {
            "database": "there",
            "use_slots": False,
            "pg_ctl_timeout": 5,
            "data_dir": "/evil",
            "callbacks": {"on_start": "/a"},
            "parameters": {"work_mem": "4MB", "temp_buffers": 100, "max_connections": 60},
        },
    }
    found, warnings = effective(load(text), dynamic)
    pg = found.postgresql
    assert (found.dynamic.ttl, found.dynamic.use_slots) == (45, False)
    assert (pg.database, pg.pg_ctl_timeout_seconds, pg.data_dir) == ("here", 5, "/srv/pg/n1")
    assert (pg.callbacks.on_start, pg.callbacks.on_stop) == (None, "/b")
    assert pg.parameters["work_mem"] == "8MB"
    assert pg.parameters["temp_buffers"] == "100"
    assert pg.parameters["max_connections"] == "60"
    assert warnings == [
        "postgresql.data_dir: ignored here: only the node file may set it",
        (
            "postgresql.parameters.max_connections: ignored here: all members must agree on it; "
            "use `hae ctl edit-config --pg max_connections=...`"
        ),
    ]


def test_bad_dynamic_values_become_defaults_with_a_warning(load: Load, minimal: str) -> None:
    """A wrong value in the store stops nothing and is told."""
    dynamic = {"ttl": "soon", "failsafe_mode": 7, "postgresql": {"use_pg_rewind": "perhaps"}}
    found, warnings = effective(load(minimal), dynamic)
    assert (found.dynamic.ttl, found.dynamic.failsafe_mode) == (30, False)
    assert not found.postgresql.use_pg_rewind
    assert len(warnings) == 3


def test_a_store_with_another_programs_json_gives_the_defaults(load: Load, minimal: str) -> None:
    """Something that is no object is told and otherwise like nothing."""
    garbage: Any = [1, 2]
    found, warnings = effective(load(minimal), garbage)
    assert found == effective(load(minimal), None)[0]
    assert warnings == ["the store's configuration is not a JSON object; the defaults are used"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(dynamic=DYNAMIC)
def test_no_dynamic_configuration_makes_it_fail(dynamic: Any) -> None:
    """Whatever another program writes into the store, the node gets usable settings."""
    found, _ = effective(EXAMPLE, dynamic)
    assert found.postgresql.data_dir == "/tmp/hae/node1"
    assert found.dynamic.loop_wait + 2 * found.dynamic.retry_timeout <= found.dynamic.ttl


EXAMPLES = Path(__file__).parents[3] / "examples"
EXAMPLE = load_local(EXAMPLES / "node1.yml", {})


@pytest.mark.parametrize("name", ["node1.yml", "node2.yml", "node3.yml", "etcd3-node1.yml"])
def test_the_examples_load_without_a_word(name: str) -> None:
    """What a newcomer starts from has no problem of its own."""
    config = load_local(EXAMPLES / name, {})
    assert config.warnings == ()
    assert effective(config, config.bootstrap_dcs)[1] == []


def test_the_examples_differ_where_they_must() -> None:
    """Three nodes on one machine share the store and nothing else."""
    found = [effective(load_local(EXAMPLES / f"node{n}.yml", {}), None)[0] for n in (1, 2, 3)]
    assert len({(s.scope, s.store.options["path"]) for s in found}) == 1
    for own in (
        {s.name for s in found},
        {s.restapi.listen_port for s in found} | {s.postgresql.listen_port for s in found},
        {s.postgresql.data_dir for s in found},
        {s.postgresql.pgpass for s in found},
        {s.recorder.dir for s in found},
    ):
        assert len(own) % 3 == 0


def test_low_ttl_needs_the_fence(load: Load, minimal: str) -> None:
    """The lower limits apply by opt-in, from either side, and never without the fence."""
    fast = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "hae": {"low_ttl": True}}
    assert effective(load(minimal), fast)[0].dynamic.ttl == 5
    own = load(minimal + "hae: {low_ttl: true}\n")
    assert effective(own, {"ttl": 6, "loop_wait": 1, "retry_timeout": 2})[0].dynamic.ttl == 6
    found, warnings = effective(load(minimal + "fence: {mode: off}\n"), fast)
    assert (found.dynamic.ttl, found.dynamic.low_ttl) == (20, False)
    assert (
        "hae.low_ttl: ignored: the lower limits need the fence, and fence.mode is off" in warnings
    )


@pytest.mark.parametrize(
    ("tags", "expected", "warned"),
    [
        ({}, (False, 1), False),
        ({"nofailover": True}, (True, 0), False),
        ({"failover_priority": 0}, (True, 0), False),
        ({"failover_priority": 5}, (False, 5), False),
        ({"nofailover": True, "failover_priority": 5}, (True, 0), True),
        ({"nofailover": False, "failover_priority": 0}, (False, 1), True),
        ({"nofailover": True, "failover_priority": 0}, (True, 0), False),
    ],
)
def test_nofailover_wins_over_the_priority(
    tags: dict[str, Any], expected: tuple[bool, int], warned: bool
) -> None:
    """A priority of 0 or less bars the node; nofailover wins, and a contradiction is told."""
    found, texts = effective_tags(tags)
    assert (found.nofailover, found.failover_priority, bool(texts)) == (*expected, warned)


def test_own_recovery_settings_are_ignored(load: Load, minimal: str) -> None:
    """Targets and the connection of a standby belong to hae, and that is told."""
    text = minimal + "  recovery_conf: {primary_conninfo: x, recovery_target_time: y, a: 1}\n"
    found, warnings = effective(load(text), None)
    assert found.postgresql.recovery_conf == {"a": "1"}
    assert len(warnings) == 2


@pytest.mark.parametrize("listen", ["*:5432", "0.0.0.0:5432", "127.0.0.1:5432", "[::]:5432"])
def test_a_wildcard_is_reached_as_localhost(load: Load, minimal: str, listen: str) -> None:
    """The first host is used for local connections, except where it is no real address."""
    text = minimal.replace("listen: 127.0.0.1:5432", f'listen: "{listen}"')
    assert effective(load(text), None)[0].postgresql.local_host == "localhost"


def test_secrets_are_in_no_repr_and_no_rendering(load: Load, full: str) -> None:
    """Neither a log line with a record nor --print shows a password."""
    config = load(full)
    found, _ = effective(config, config.bootstrap_dcs)
    rendered = render_effective(found)
    assert "topsecret" not in repr(found) + repr(config) + str(found) + rendered
    assert rendered.count("********") >= 7
    assert "password: '********'" in rendered


def test_the_record_is_frozen(load: Load, minimal: str) -> None:
    """Nobody changes settings in passing."""
    found, _ = effective(load(minimal), None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"  # type: ignore[misc]
