"""The node file against the schema: every error at once, with what was found and is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shell.config import ConfigError, LocalConfig, effective, needs_daemon_restart
from shell.config.checking import Check
from shell.config.schema import BY_PATH, KEYS

Load = Callable[..., LocalConfig]

TEN_ERRORS = """\
scope: demo
name: yes
etcd3: {host: 10.0.0.1:99999}
restapi:
  listen: 127.0.0.1
  connect_address: 127.0.0.1:8008
  request_queue_size: 5000
  verify_client: sometimes
postgresql:
  listen: 127.0.0.1:5432
  data_dir: /srv/pg
  parameters: max_connections = 100
  use_pg_rewind: maybe
  pg_hba: local all all trust
  authentication:
    superuser: {password: [topsecret]}
    replication: {username: r}
citus: {group: 0}
"""


def problems(load: Load, text: str, **environ: str) -> list[str]:
    """Return the problems that refuse a configuration."""
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    return [str(problem).split("/node.yml:")[-1] for problem in caught.value.problems]


def test_ten_errors_are_ten_problems(load: Load) -> None:
    """Every error is reported at once: place, path, what was found, what is allowed."""
    assert problems(load, TEN_ERRORS) == [
        (
            "2: name: found True (boolean), allowed: text; YAML reads this word as a boolean, "
            "so put it in quotes"
        ),
        "3: etcd3.host: found '10.0.0.1:99999', allowed: a port from 1 to 65535",
        "5: restapi.listen: found '127.0.0.1', allowed: host[,host]:port",
        (
            "7: restapi.request_queue_size: found 5000 (integer), "
            "allowed: a whole number from 0 to 4096"
        ),
        "8: restapi.verify_client: found 'sometimes', allowed: one of none, optional, required",
        (
            "12: postgresql.parameters: found 'max_connections = 100', allowed: a mapping, "
            "written `name: value` on lines of their own"
        ),
        "13: postgresql.use_pg_rewind: found 'maybe', allowed: on/off, true/false, yes/no or 1/0",
        "14: postgresql.pg_hba: found 'local all all trust', allowed: a list, each item text",
        (
            "16: postgresql.authentication.superuser.password: found ********, "
            "allowed: one line of text"
        ),
        (
            "18: citus: hae does not manage Citus clusters; keep Patroni for this one, "
            "or remove the section"
        ),
        "9: postgresql.connect_address: missing, required: host[:port]",
    ]


def test_the_smallest_and_the_full_configuration_have_no_problem(
    load: Load, minimal: str, full: str
) -> None:
    """What existing installations write is accepted without a word."""
    assert load(minimal).warnings == ()
    config = load(full)
    assert config.warnings == ()
    assert effective(config, config.bootstrap_dcs)[1] == []


def test_an_unknown_key_is_a_warning_with_a_suggestion(load: Load, minimal: str) -> None:
    """A node starts with an unknown key; the warning names the likely one."""
    text = minimal.replace("  listen: 127.0.0.1:5432", "  listen: 127.0.0.1:5432\n  data_dri: /x")
    text += "  use_slots: true\nttl: 20\nzzzz: 1\nverify_client: none\n"
    found = [str(w).split("/node.yml:")[-1] for w in load(text).warnings]
    assert found == [
        "10: postgresql.data_dri: unknown key; did you mean 'postgresql.data_dir'?",
        (
            "16: postgresql.use_slots: ignored here: only the dynamic configuration may set it; "
            "use `hae ctl edit-config`"
        ),
        (
            "17: ttl: ignored here: only the dynamic configuration may set it; "
            "use `hae ctl edit-config`"
        ),
        "18: zzzz: unknown key",
        "19: verify_client: unknown key; did you mean 'restapi.verify_client'?",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("etcd3:", "etcd4:"), "no store is configured; add one of the sections etcd3, etcd"),
        (("scope: demo", "scope: demo\nconsul: {host: x}"), "several stores are configured"),
        (("  hosts: 10.0.0.1:2379,10.0.0.2:2379", "  protocol: http"), "etcd3: needs one of host"),
        (("name: n1", "name: a/b"), "name: found a /"),
        (("name: n1", "name: __patroni_strict_sync_replica_placeholder__"), "name is reserved"),
        (("127.0.0.1:5432\n  conn", "127.0.0.1:8008\n  conn"), "choose another port"),
        (("name: n1", "name: n1\nraft: {}"), "raft: hae has no built-in Raft"),
        (("name: n1", "name: n1\nbootstrap: {method: wal_g}"), "no section bootstrap.wal_g"),
        (("name: n1", "name: n1\nbootstrap: {m: {command: }, method: m}"), "m.command: missing"),
        (("name: n1", "name: n1\nfence: {mode: off}\nhae: {low_ttl: true}"), "needs the fence"),
        (("name: n1", "name: n1\nbootstrap: {initdb: [--encoding=UTF8]}"), "without dashes or ="),
        (("name: n1", "name: n1\nbootstrap: {initdb: {pwfile: x}}"), "'pwfile' is set by hae"),
        (("name: n1", "name: n1\nbootstrap: {dcs: {ttl: [1]}}"), "bootstrap.dcs.ttl: found"),
        (("name: n1", "name: n1\nlog: {mode: 999}"), "log.mode: found 999 (integer), allowed: an"),
        (("name: n1", "name: n1\nlog: {level: LOUD}"), "log.level: found 'LOUD', allowed: one of"),
    ],
)
def test_each_rule_between_keys_has_its_sentence(
    load: Load, minimal: str, change: tuple[str, str], expected: str
) -> None:
    """A configuration that cannot work is refused with a sentence that says why."""
    assert change[0] in minimal
    found = problems(load, minimal.replace(*change))
    assert any(expected in text for text in found), found


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("basebackup: [{compress: gzip}]", "'compress' only with server-..."),
        ("basebackup: [wal-method: fetch]", "'wal-method' is set by hae itself"),
        ("parameters: {'a = b': 1}", "the name is not allowed here; allowed: a parameter's name"),
        ('parameters: {a: "x\\ny"}', "one line of text"),
        ("parameters: {a: [1]}", "found a list of 1 items, allowed: text, a number or a boolean"),
        ("rewind: [dry-run]", "'dry-run' is set by hae"),
        ("pg_ctl_timeout: 0", "allowed: a time in seconds (or with ms, s, min, h, d) >= 1"),
    ],
)
def test_wrong_postgresql_values_are_refused(
    load: Load, minimal: str, option: str, expected: str
) -> None:
    """Values that PostgreSQL or its tools could not use never reach them."""
    (found,) = problems(load, f"{minimal}  {option}\n")
    assert expected in found


def test_no_secret_is_shown_in_a_problem(load: Load, minimal: str) -> None:
    """A secret of the wrong shape, or in the wrong place, is not repeated."""
    text = minimal.replace("{username: postgres, password: topsecret1}", "postgres/topsecret1")
    text = text.replace("topsecret2", "{a: topsecret2}") + "etcd: http://u:topsecret3@h\n"
    found = problems(load, text)
    assert len(found) == 3
    assert not any("topsecret" in line for line in found)


def test_passwords_keep_their_spelling(load: Load, minimal: str) -> None:
    """A password of digits is not turned into another number."""
    config = load(minimal.replace("topsecret1", "0123").replace("topsecret2", "1.10"))
    users = effective(config, None)[0].postgresql.authentication
    assert (users.superuser.password, users.replication.password) == ("0123", "1.10")


def test_what_a_reload_cannot_apply_is_named(load: Load, minimal: str) -> None:
    """Identity, data directory and the kind of store need a restart of the daemon."""
    old = load(minimal)
    changed = minimal.replace("name: n1", "name: n2").replace("/srv/pg/n1", "/srv/pg/n2")
    changed = changed.replace("8008", "8009").replace("etcd3:", "etcd:")
    expected = ["name", "postgresql.data_dir", "etcd"]
    assert needs_daemon_restart(old, load(changed)) == expected
    assert needs_daemon_restart(old, load(minimal.replace("8008", "8009"))) == []


def test_the_table_is_consistent() -> None:
    """Every default is allowed by its own kind, and every old spelling leads to a key."""
    for key in KEYS:
        if key.default is not None and key.path != "postgresql.bin_dir":
            key.kind.parse(key.default)
        assert not key.renamed or key.renamed in BY_PATH


def test_old_spellings_are_understood_and_the_new_one_wins() -> None:
    """An old name sets the new key unless that one is given too, in any order."""
    check = Check("dcs")
    check.walk({"primary_stop_timeout": 5, "master_stop_timeout": 7, "master_start_timeout": 9})
    assert check.values == {"primary_stop_timeout": 5, "primary_start_timeout": 9}
    check = Check("dcs")
    check.walk({"permanent_slots": {"a": {}}, "slots": {"b": {"type": "physical"}}})
    assert sorted(check.values["slots"]) == ["a", "b"]
