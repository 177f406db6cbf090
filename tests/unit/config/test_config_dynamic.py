"""The dynamic configuration: patches, limits of the timing, and what would be ignored."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell.config import check_dynamic, clamp_timing, merge_patch
from shell.config.drift import bootstrap_drift
from shell.config.parameters import (
    CONTROLLED,
    dynamic_findings,
    for_version,
    merged,
    on_command_line,
)

SCALARS = st.none() | st.booleans() | st.integers(-5, 50) | st.sampled_from(["", "on", "1min"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def has_null(value: Any) -> bool:
    """Say whether a null stands as a value of a mapping, at any depth of mappings."""
    if not isinstance(value, dict):
        return False
    return any(v is None or has_null(v) for v in value.values())


def test_a_patch_merges_deletes_and_replaces() -> None:
    """Objects merge, null deletes, scalars and lists replace."""
    base = {"ttl": 30, "slots": {"a": 1, "b": 2}, "list": [1, 2]}
    patch = {"ttl": None, "slots": {"a": None, "c": {"x": None, "y": 1}}, "list": [3], "none": None}
    assert merge_patch(base, patch) == {"slots": {"b": 2, "c": {"y": 1}}, "list": [3]}


@given(OBJECTS, OBJECTS)
def test_a_patch_changes_neither_argument_and_applies_once(base: Any, patch: Any) -> None:
    """Patching twice is patching once, and the arguments stay as they were."""
    kept = copy.deepcopy((base, patch))
    once = merge_patch(base, patch)
    assert (base, patch) == kept
    assert merge_patch(once, patch) == once


@given(OBJECTS)
def test_a_patch_onto_nothing_leaves_no_null(patch: Any) -> None:
    """A null is an order to delete, never a value."""
    assert not has_null(merge_patch({}, patch))


@given(OBJECTS)
def test_an_empty_patch_changes_nothing(base: Any) -> None:
    """The empty patch is neutral."""
    assert merge_patch(base, {}) == base


@pytest.mark.parametrize(
    ("dynamic", "low_ttl", "expected", "texts"),
    [
        ({}, False, (30, 10, 10), []),
        ({"ttl": "1min"}, False, (60, 10, 10), []),
        (
            {"ttl": 10, "retry_timeout": 1},
            False,
            (20, 10, 3),
            [
                "ttl: 10 is too small, raised to 20 (hae.low_ttl allows 5)",
                "retry_timeout: 1 is too small, raised to 3",
            ],
        ),
        (
            {"ttl": 25},
            False,
            (25, 5, 10),
            [
                (
                    "loop_wait: 10 reduced to 5, because loop_wait + 2*retry_timeout "
                    "must not exceed ttl (25)"
                )
            ],
        ),
        (
            {"ttl": 20},
            False,
            (20, 1, 9),
            [
                (
                    "loop_wait: 10 reduced to 1, because loop_wait + 2*retry_timeout "
                    "must not exceed ttl (20)"
                ),
                (
                    "retry_timeout: 10 reduced to 9, because loop_wait + 2*retry_timeout "
                    "must not exceed ttl (20)"
                ),
            ],
        ),
        ({"ttl": 5, "loop_wait": 1, "retry_timeout": 2}, True, (5, 1, 2), []),
        (
            {"ttl": 1, "loop_wait": 0, "retry_timeout": 0},
            True,
            (5, 1, 1),
            [
                "ttl: 1 is too small, raised to 5",
                "loop_wait: 0 is too small, raised to 1",
                "retry_timeout: 0 is too small, raised to 1",
            ],
        ),
    ],
)
def test_the_timing_is_kept_within_its_limits(
    dynamic: Any, low_ttl: bool, expected: tuple[int, ...], texts: list[str]
) -> None:
    """Small values are raised, a broken sum is mended, and every change has its text."""
    timing, found = clamp_timing(dynamic, low_ttl=low_ttl)
    assert (timing["ttl"], timing["loop_wait"], timing["retry_timeout"]) == expected
    assert found == texts


@given(JSON, JSON, JSON, st.booleans())
def test_the_timing_always_fits(ttl: Any, loop_wait: Any, retry: Any, low_ttl: bool) -> None:
    """Whatever is written, the sum holds and no value is below its floor."""
    dynamic = {"ttl": ttl, "loop_wait": loop_wait, "retry_timeout": retry}
    timing, _ = clamp_timing(dynamic, low_ttl=low_ttl)
    assert timing["loop_wait"] + 2 * timing["retry_timeout"] <= timing["ttl"]
    assert timing["ttl"] >= (5 if low_ttl else 20)
    assert min(timing["loop_wait"], timing["retry_timeout"]) >= 1
    assert clamp_timing(timing, low_ttl=low_ttl) == (timing, [])


def test_everything_that_would_be_ignored_is_reported() -> None:
    """Wrong values, misplaced and unknown keys, and refused parameters have a problem each."""
    found = check_dynamic(
        {
            "ttl": "soon",
            "synchronous_mode": "maybe",
            "loop_wiat": 5,
            "restapi": {"listen": "x:1"},
            "slots": {"Bad-Name": {}, "l": {"type": "logical"}, "ok": {"type": "physical"}},
            "ignore_slots": [{}],
            "postgresql": {
                "data_dir": "/x",
                "parameters": {"max_connections": 10, "port": 1, "a": {}, "work_mem": "4MB"},
            },
        }
    )
    assert [str(problem) for problem in found] == [
        "ttl: found 'soon', allowed: a time in seconds (or with ms, s, min, h, d)",
        "synchronous_mode: found 'maybe', allowed: one of off, on, quorum",
        "loop_wiat: unknown key; did you mean 'loop_wait'?",
        "restapi: ignored here: only the node file may set it",
        (
            "slots.Bad-Name: the name is not allowed here; "
            "allowed: up to 63 lower-case letters, digits and _"
        ),
        (
            "slots.l: found a mapping with 1 keys, "
            "allowed: a logical slot with both database and plugin"
        ),
        (
            "ignore_slots: found a list of 1 items, "
            "allowed: a list of mappings, each with any of name, type, database, plugin"
        ),
        "postgresql.data_dir: ignored here: only the node file may set it",
        (
            "postgresql.parameters.a: found a mapping with 0 keys, "
            "allowed: text, a number or a boolean"
        ),
        "postgresql.parameters.max_connections: found '10', allowed: >= 25; 100 is used",
        "postgresql.parameters.port: ignored: set postgresql.listen instead",
    ]
    errors = [problem.path for problem in found if problem.severity == "error"]
    assert "loop_wiat" not in errors
    assert "ttl" in errors


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("hot_standby", "on", "off"),
        ("wal_level", "logical", "minimal"),
        ("max_connections", "25", "24"),
        ("max_wal_senders", "3", "2"),
        ("max_replication_slots", "4", "3"),
        ("max_worker_processes", "2", "1"),
        ("max_prepared_transactions", "0", "-1"),
        ("max_locks_per_transaction", "32", "31"),
        ("track_commit_timestamp", "on", "maybe"),
        ("wal_log_hints", "off", "2"),
        ("wal_keep_size", "16MB", "15MB"),
        ("wal_keep_segments", "1", "0"),
    ],
)
def test_each_controlled_parameter_has_its_limit(name: str, good: str, bad: str) -> None:
    """The smallest allowed value is used; one below falls back to the default and is reported."""
    assert merged({name: good}, {})[name] == good
    assert merged({name: bad}, {})[name] == CONTROLLED[name].default
    assert list(dynamic_findings({name: bad, "work_mem": "1MB"})) == [name]
    assert dynamic_findings({name: good}) == {}


def test_controlled_parameters_come_only_from_the_store() -> None:
    """The node file sets the free parameters one by one, never the controlled ones."""
    dynamic = {"max_connections": 200, "work_mem": "4MB", "a.b": True, "wal_level": "hot_standby"}
    found = merged(dynamic, {"max_connections": 300, "work_mem": "8MB", "fsync": False, "port": 1})
    assert (found["max_connections"], found["work_mem"], found["fsync"]) == ("200", "8MB", "off")
    assert (found["a.b"], found["wal_level"], "port" in found) == ("on", "replica", False)


def test_kept_wal_is_translated_between_versions() -> None:
    """Either of the two names gives both values, and a server gets the one that it knows."""
    by_size, by_segments = (
        merged({"wal_keep_size": "1GB"}, {}),
        merged({"wal_keep_segments": 4}, {}),
    )
    assert (by_size["wal_keep_size"], by_size["wal_keep_segments"]) == ("1024MB", "64")
    assert (by_segments["wal_keep_size"], by_segments["wal_keep_segments"]) == ("64MB", "4")
    assert "wal_keep_segments" not in for_version(by_size, 150004)
    assert "wal_keep_size" not in for_version(by_size, 120009)


def test_the_command_line_has_the_controlled_parameters_only() -> None:
    """What must not be overridden is on the command line; kept WAL is in the file only."""
    names = set(on_command_line({**merged({}, {"work_mem": 1}), "port": "1"}))
    assert names == {*CONTROLLED, "port"} - {"wal_keep_size", "wal_keep_segments"}


def test_the_difference_to_bootstrap_dcs_comes_with_the_command_that_applies_it() -> None:
    """An edit of bootstrap.dcs that has no effect is told, with the exact command."""
    bootstrap = {
        "ttl": 40,
        "maximum_lag_on_failover": "1MB",
        "synchronous_mode": True,
        "postgresql": {"use_pg_rewind": True, "parameters": {"work_mem": "8 MB"}},
    }
    live = {"ttl": 30, "maximum_lag_on_failover": 1048576, "synchronous_mode": "on"}
    assert bootstrap_drift(bootstrap, live, "demo") == [
        "ttl: 40 is not in effect; the cluster has: 30",
        "postgresql.use_pg_rewind: true is not in effect; the cluster has: not set",
        'postgresql.parameters.work_mem: "8 MB" is not in effect; the cluster has: not set',
        (
            "it is read only when the cluster is first initialized; to apply it now: "
            "hae ctl edit-config demo -s ttl=40 -s postgresql.use_pg_rewind=true "
            "-p 'work_mem=\"8 MB\"'"
        ),
    ]
    assert bootstrap_drift(live, live, "demo") == []
