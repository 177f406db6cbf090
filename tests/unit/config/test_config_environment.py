"""Overrides from the environment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shell.config import ConfigError, LocalConfig, effective, load_local
from shell.config.environment import NAMES, read_environment

Load = Callable[..., LocalConfig]


def test_the_environment_wins_over_the_file_and_hae_over_patroni(load: Load, minimal: str) -> None:
    """HAE_ beats PATRONI_, and both beat the file."""
    config = load(minimal, PATRONI_NAME="p", HAE_NAME="h", PATRONI_SCOPE="s")
    assert (config.values["name"], config.values["scope"]) == ("h", "s")


def test_consumed_variables_are_returned_and_others_are_named(load: Load, minimal: str) -> None:
    """The daemon learns what to remove; a misspelled variable is named with a suggestion."""
    config = load(minimal, PATRONI_NAME="p", PATRONI_SCOPEE="x", HOME="/root", HAE_LOG_DIR="")
    assert config.environment == {"PATRONI_NAME": "p", "HAE_LOG_DIR": ""}
    assert [str(w) for w in config.warnings] == [
        "environment PATRONI_SCOPEE: unknown variable, ignored; did you mean PATRONI_SCOPE?"
    ]


def test_a_reload_with_the_kept_environment_gives_the_same(load: Load, minimal: str) -> None:
    """The consumed variables are all that is needed to read the configuration again."""
    config = load(minimal, PATRONI_NAME="p", PATH="/bin")
    assert load(minimal, **config.environment).values == config.values


@pytest.mark.parametrize(
    ("variable", "text", "path", "expected"),
    [
        ("PATRONI_ETCD3_HOSTS", "'a:1','b:2'", "etcd3.hosts", ["a:1", "b:2"]),
        ("PATRONI_ETCD3_HOSTS", "[a:1, b:2]", "etcd3.hosts", ["a:1", "b:2"]),
        ("PATRONI_ETCD3_HOSTS", "a:1,b:2", "etcd3.hosts", ["a:1", "b:2"]),
        ("PATRONI_KUBERNETES_LABELS", "{app: pg, env: x}", "kubernetes.labels.app", "pg"),
        ("PATRONI_KUBERNETES_LABELS", "app: pg, env: x", "kubernetes.labels.env", "x"),
        ("PATRONI_RESTAPI_USERNAME", "u", "restapi.authentication.username", "u"),
        ("PATRONI_CTL_INSECURE", "on", "ctl.insecure", True),
        ("PATRONI_LOG_FILE_NUM", "7", "log.file_num", 7),
        ("PATRONI_LOGLEVEL", "debug", "log.level", "DEBUG"),
        ("PATRONI_LOG_MODE", "0640", "log.mode", 0o640),
        ("PATRONI_POSTGRESQL_DATA_DIR", "/d", "postgresql.data_dir", "/d"),
        ("PATRONI_POSTGRESQL_BIN_PG_CTL", "x", "postgresql.bin_name.pg_ctl", "x"),
        ("PATRONI_POSTGRESQL_BIN_IS_READY", "x", "postgresql.bin_name.pg_isready", "x"),
        ("PATRONI_POSTGRESQL_BIN_PG_ISREADY", "x", "postgresql.bin_name.pg_isready", "x"),
        ("PATRONI_CONSUL_SCHEME", "https", "consul.scheme", "https"),
        ("PATRONI_RETRIABLE_HTTP_CODES", "503, 504", "kubernetes.retriable_http_codes", [503, 504]),
        ("PATRONI_RESTAPI_THREAD_POOL_SIZE", "6", "restapi.thread_pool_size", 6),
        (
            "PATRONI_REWIND_SSLMODE",
            "require",
            "postgresql.authentication.rewind.sslmode",
            "require",
        ),
        ("HAE_EMBEDDED_PATH", "/s", "embedded.path", "/s"),
        ("HAE_FENCE_MODE", "off", "fence.mode", "off"),
        ("HAE_RECORDER_MAX_BYTES", "2MB", "recorder.max_bytes", 2 << 20),
    ],
)
def test_each_kind_of_variable_reaches_its_key(
    load: Load, minimal: str, *, variable: str, text: str, path: str, expected: object
) -> None:
    """Names and notations of the contract are understood, including the documented odd ones."""
    section = path.split(".", maxsplit=1)[0]
    if section in ("kubernetes", "consul", "embedded"):
        minimal = minimal.replace("etcd3:\n  hosts: 10.0.0.1:2379,10.0.0.2:2379\n", "")
        minimal += {"consul": "consul: {host: h}\n"}.get(section, "")
    found = load(minimal, **{variable: text}).values
    for part in path.split("."):
        found = found[part]
    assert found == expected


def test_a_wrong_value_names_the_variable_and_hides_secrets(load: Load, minimal: str) -> None:
    """The place of a problem is the variable; a text that cannot be read is not repeated."""
    with pytest.raises(ConfigError) as caught:
        load(
            minimal,
            PATRONI_LOG_FILE_NUM="many",
            PATRONI_RESTAPI_HTTP_EXTRA_HEADERS="{X: {topsecret",
            PATRONI_SUPERUSER_PASSWORD="two\nlines topsecret",
        )
    assert sorted(str(problem) for problem in caught.value.problems) == [
        (
            "environment PATRONI_LOG_FILE_NUM: log.file_num: found 'many', "
            "allowed: a whole number >= 0"
        ),
        (
            "environment PATRONI_RESTAPI_HTTP_EXTRA_HEADERS: restapi.http_extra_headers: "
            "cannot be read; allowed: a mapping of names to one line of text"
        ),
        (
            "environment PATRONI_SUPERUSER_PASSWORD: postgresql.authentication.superuser.password: "
            "found ********, allowed: one line of text"
        ),
    ]


def test_the_whole_configuration_in_one_variable(minimal: str) -> None:
    """HAE_CONFIGURATION wins over PATRONI_CONFIGURATION, and single variables are ignored then."""
    environ = {
        "PATRONI_CONFIGURATION": minimal,
        "HAE_CONFIGURATION": minimal.replace("name: n1", "name: whole"),
        "PATRONI_NAME": "single",
    }
    config = load_local(None, environ)
    assert config.values["name"] == "whole"
    assert config.source == "environment HAE_CONFIGURATION"
    assert list(config.environment) == ["HAE_CONFIGURATION"]


def test_a_file_wins_over_the_whole_configuration(load: Load, minimal: str) -> None:
    """With a file the variable is only consumed, and single variables count."""
    whole = minimal.replace("name: n1", "name: whole")
    config = load(minimal, PATRONI_CONFIGURATION=whole, PATRONI_SCOPE="s")
    assert (config.values["name"], config.values["scope"]) == ("n1", "s")
    assert "PATRONI_CONFIGURATION" in config.environment


def test_variables_alone_are_a_configuration() -> None:
    """A node can be configured without any file."""
    environ = {
        "PATRONI_NAME": "n1",
        "PATRONI_SCOPE": "demo",
        "PATRONI_ETCD3_HOST": "h:2379",
        "PATRONI_RESTAPI_LISTEN": "0.0.0.0:8008",
        "PATRONI_RESTAPI_CONNECT_ADDRESS": "h1:8008",
        "PATRONI_POSTGRESQL_LISTEN": "*:5432",
        "PATRONI_POSTGRESQL_CONNECT_ADDRESS": "h1:5432",
        "PATRONI_POSTGRESQL_DATA_DIR": "/d",
        "PATRONI_REPLICATION_USERNAME": "r",
        "PATRONI_REPLICATION_PASSWORD": "p",
    }
    settings, warnings = effective(load_local(None, environ), None)
    assert (settings.name, settings.postgresql.local_host, warnings) == ("n1", "localhost", [])


def test_nothing_at_all_is_refused_with_the_mend() -> None:
    """Without file and variables the message says what to give."""
    with pytest.raises(ConfigError, match="give a node file, or set HAE_CONFIGURATION"):
        load_local(None, {"HOME": "/root"})


def test_no_variable_sets_tags_callbacks_or_dynamic_settings() -> None:
    """The contract has no environment form for these."""
    sections = {path.split(".")[0] for path in NAMES.values()}
    assert not sections & {"tags", "watchdog", "bootstrap", "ttl", "loop_wait"}
    assert not any("parameters" in path or "callbacks" in path for path in NAMES.values())
    assert read_environment({"PATRONI_TTL": "1"}).data == {}
