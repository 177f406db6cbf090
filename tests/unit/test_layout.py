"""The layout of the store: what other programs wrote is read, whatever it is."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.state import Cluster, FailoverRequest, HistoryLine, SyncState, Tags
from shell import layout


@dataclass(frozen=True)
class Stored:
    """An entry as a store would give it."""

    value: str
    revision: int = 7


def stored(**texts: str) -> dict[str, Stored]:
    """Entries whose keys are written with `__` for a slash."""
    return {key.replace("__", "/"): Stored(text) for key, text in texts.items()}


SAMPLE = {
    "leader": "n1",
    "initialize": "7401234567890123456",
    "config": '{"ttl":30,"loop_wait":10,"retry_timeout":10,"maximum_lag_on_failover":1048576,'
    '"postgresql":{"use_pg_rewind":true,"parameters":{"max_connections":200}}}',
    "members/n1": '{"conn_url":"postgres://10.0.0.1:5432/postgres",'
    '"api_url":"http://10.0.0.1:8008/patroni","state":"running","role":"primary",'
    '"version":"4.1.4","xlog_location":83886080,"timeline":3}',
    "members/n2": '{"conn_url":"postgres://10.0.0.2:5432/postgres",'
    '"api_url":"http://10.0.0.2:8008/patroni","state":"running","role":"replica",'
    '"version":"4.1.4","tags":{"clonefrom":true},"xlog_location":83886080,"replay_lsn":83886080,'
    '"receive_lsn":83886080,"replication_state":"streaming","timeline":3}',
    "status": '{"optime":83886080,"slots":{"n2":83886080,"n1":83886080},"retain_slots":["n2"]}',
    "sync": '{"leader":"n1","quorum":0,"sync_standby":"n2"}',
    "failover": '{"leader":"n1","member":"n2","scheduled_at":"2026-09-01T02:00:00+02:00"}',
    "failsafe": '{"n1":"http://10.0.0.1:8008/patroni","n2":"http://10.0.0.2:8008/patroni"}',
    "history": '[[1,50331808,"no recovery target specified","2026-08-01T10:00:00.123456+00:00",'
    '"n2"],[2,67108864,"no recovery target specified","2026-08-02T10:00:00.123456+00:00","n1"]]',
}


def sample() -> dict[str, Stored]:
    """The contract's sample cluster."""
    return {key: Stored(text) for key, text in SAMPLE.items()}


def test_the_contracts_samples_give_the_right_records() -> None:
    """Every sample of the contract is read completely."""
    cluster = layout.parse_cluster(sample())
    assert (cluster.leader, cluster.leader_revision) == ("n1", 7)
    assert cluster.initialize == "7401234567890123456"
    assert cluster.config_present
    assert cluster.optime == 83886080
    assert dict(cluster.slots) == {"n1": 83886080, "n2": 83886080}
    assert cluster.retain_slots == ("n2",)
    assert cluster.sync == SyncState("n1", ("n2",), 0, 7)
    assert cluster.failover == FailoverRequest("n1", "n2", 1788220800.0, 7)
    assert cluster.failsafe is not None
    assert cluster.failsafe["n2"] == "http://10.0.0.2:8008/patroni"
    reason = "no recovery target specified"
    assert cluster.history == (
        HistoryLine(1, 50331808, reason, "2026-08-01T10:00:00.123456+00:00", "n2"),
        HistoryLine(2, 67108864, reason, "2026-08-02T10:00:00.123456+00:00", "n1"),
    )
    first, second = cluster.members
    assert (first.name, first.host, first.port, first.role) == ("n1", "10.0.0.1", 5432, "primary")
    assert (first.xlog_location, first.timeline, first.replay_lsn) == (83886080, 3, None)
    assert second.tags == Tags(clonefrom=True, other={})
    assert second.replication_state == "streaming"
    assert second.receive_lsn == second.replay_lsn == 83886080


def test_quorum_sample_lists_all_voters() -> None:
    """The quorum form of `sync` gives every voter and the number."""
    entries = stored(sync='{"leader":"n1","quorum":1,"sync_standby":"n2,n4, n3"}')
    assert layout.parse_cluster(entries).sync == SyncState("n1", ("n2", "n3", "n4"), 1, 7)


def test_what_is_read_can_be_written_again() -> None:
    """The writers give byte for byte the texts of the contract's samples."""
    cluster = layout.parse_cluster(sample())
    assert cluster.history is not None
    assert layout.history_text(cluster.history) == SAMPLE["history"]
    assert layout.sync_text("n1", ["n2"]) == SAMPLE["sync"]
    assert layout.sync_text("n1", []) == '{"leader":"n1","quorum":0,"sync_standby":null}'
    slots = {"n2": 83886080, "n1": 83886080}
    assert layout.status_text(83886080, slots, ["n2"]) == SAMPLE["status"]
    assert layout.status_text(5, {}, []) == '{"optime":5}'
    time = "2026-09-01T02:00:00+02:00"
    assert layout.failover_text("n1", "n2", time) == SAMPLE["failover"]
    assert layout.failover_text(None, None, None) == "{}"
    assert cluster.failsafe is not None
    assert layout.failsafe_text(cluster.failsafe) == SAMPLE["failsafe"]
    assert layout.member_text(json.loads(SAMPLE["members/n2"])) == SAMPLE["members/n2"]


def test_no_keys_is_an_empty_cluster() -> None:
    """A base path without keys is the default record."""
    assert layout.parse_cluster({}) == Cluster(slots={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n1:n2", ("n1", "n2")),
        (":n2", (None, "n2")),
        ("n1:", ("n1", None)),
        ('{"member":"n2"}', (None, "n2")),
        ('{"leader":"n1"}', ("n1", None)),
    ],
)
def test_failover_is_read_in_both_forms(text: str, expected: tuple[str | None, str | None]) -> None:
    """The object and the ancient text give the same record."""
    request = layout.parse_cluster(stored(failover=text)).failover
    assert request is not None
    assert (request.leader, request.candidate, request.scheduled_epoch) == (*expected, None)


@pytest.mark.parametrize("text", ["{}", "", ":", '{"leader":', "[1]", "7", "null", '{"member":3}'])
def test_failover_that_asks_nothing_is_none(text: str) -> None:
    """An empty or unreadable request is no request."""
    assert layout.parse_cluster(stored(failover=text)).failover is None


@pytest.mark.parametrize(
    "time",
    [
        "tomorrow",
        "2026-09-01T02:00:00",
        5,
        ["x"],
        "99999-01-01",
        "9999-12-31T23:59:59-05:00",  # which UTC cannot tell
    ],
)
def test_failover_at_an_unreadable_time_is_never_run_at_once(time: object) -> None:
    """A time that cannot be read counts as long past, so that the leader drops the request."""
    text = json.dumps({"leader": "n1", "scheduled_at": time})
    request = layout.parse_cluster(stored(failover=text)).failover
    assert request is not None
    assert request.scheduled_epoch == layout.UNREADABLE_TIME_EPOCH


def test_status_of_old_writers_is_a_bare_integer() -> None:
    """`status` and `optime/leader` both give the position, `status` first."""
    assert layout.parse_cluster(stored(status="42")).optime == 42
    assert layout.parse_cluster(stored(optime__leader="43")).optime == 43
    both = stored(status='{"optime":44}', optime__leader="43")
    assert layout.parse_cluster(both).optime == 44


def test_history_rows_of_three_to_five_items_are_read() -> None:
    """Old rows lack the time, or the new leader; broken rows are left out."""
    text = '[[1,10,"r"],[2,20,"r","t"],[3,30,"r","t","n1","more"],[4],"x",[0,1,"r"],["5","50",7]]'
    assert layout.parse_cluster(stored(history=text)).history == (
        HistoryLine(1, 10, "r"),
        HistoryLine(2, 20, "r", "t"),
        HistoryLine(3, 30, "r", "t", "n1"),
        HistoryLine(5, 50, ""),
    )
    assert layout.parse_cluster(stored(history="[]")).history == ()
    assert layout.parse_cluster(stored(history="{")).history is None
    assert layout.parse_cluster({}).history is None
    lines = (HistoryLine(1, 10, "r"), HistoryLine(2, 20, "r", "t"))
    assert layout.history_text(lines) == '[[1,10,"r"],[2,20,"r","t"]]'


def test_members_of_old_releases_call_the_primary_master() -> None:
    """The old role word is understood."""
    member = layout.parse_member("n1", {"role": "master"})
    assert member.role == "primary"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://h:6000/db", ("h", 6000)),
        ("postgres://h/db", ("h", 5432)),
        ("postgres://[::1]:5433/db", ("::1", 5433)),
        ("postgres://h:99999/db", ("", 5432)),
        ("postgres://[", ("", 5432)),
        ("nonsense", ("", 5432)),
        (None, ("", 5432)),
    ],
)
def test_address_comes_from_conn_url(url: object, expected: tuple[str, int]) -> None:
    """Host and port are taken from the URL, IPv6 and nonsense included."""
    assert layout.parse_conn_url(url) == expected


def test_tags_are_read_in_every_spelling() -> None:
    """Booleans in all spellings, numbers as text, and the user's own as lower-case text."""
    tags = {
        "nofailover": "YES",
        "noloadbalance": 1,
        "nosync": "off",
        "clonefrom": "On",
        "replicatefrom": "n3",
        "failover_priority": "5",
        "ssd": True,
        "weight": 1.4,
        "zone": "A",
        "gone": None,
    }
    assert layout.parse_tags(tags) == Tags(
        nofailover=True,
        noloadbalance=True,
        clonefrom=True,
        replicatefrom="n3",
        failover_priority=5,
        other={"ssd": "true", "weight": "1.4", "zone": "A"},
    )
    assert layout.parse_tags({"failover_priority": 0}).failover_priority == 0
    denied = layout.parse_tags({"failover_priority": 0, "nofailover": False})
    assert denied.failover_priority == 1
    assert layout.parse_tags("x") == Tags(other={})


def test_dynamic_config_tells_absent_from_unreadable() -> None:
    """An unreadable configuration keeps its revision and is not mistaken for an empty one."""
    assert layout.dynamic_config({}) == (None, 0)
    assert layout.dynamic_config(stored(config="{")) == (None, 7)
    assert layout.dynamic_config(stored(config="[1]")) == (None, 7)
    assert layout.dynamic_config(stored(config='{"ttl":30}')) == ({"ttl": 30}, 7)


@given(st.floats(min_value=0, max_value=4e9))
def test_times_survive_the_round_trip(epoch: float) -> None:
    """A moment written as ISO text is read back to the microsecond."""
    again = layout.epoch_from_iso(layout.iso_from_epoch(epoch))
    assert again == pytest.approx(epoch, abs=1e-5)


NAMES = ["leader", "member", "scheduled_at", "optime", "slots", "retain_slots", "sync_standby"]
NAMES += ["quorum", "tags", "conn_url", "timeline", "pause", "failover_priority", "version"]
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["postgres://[x", "2026-01-01T00:00:00+01:00", "n1,n2", "1e999", "²"]),
)
JSON = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=4)), inner, max_size=6),
    ),
    max_leaves=12,
)
TEXTS = st.one_of(st.text(max_size=30), JSON.map(json.dumps), st.just("[" * 100_000))
KEYS = st.one_of(
    st.sampled_from([*SAMPLE, "optime/leader", "members/", "members/a/b", "hae/x"]),
    st.text(max_size=10).map(lambda name: "members/" + name),
)


@given(st.dictionaries(KEYS, TEXTS, max_size=8))
def test_garbage_under_any_key_never_raises(texts: dict[str, str]) -> None:
    """Whatever another program wrote, reading gives records that can be written again."""
    entries = {key: Stored(text) for key, text in texts.items()}
    cluster = layout.parse_cluster(entries)
    layout.dynamic_config(entries)
    layout.history_rows(entries)
    names = [member.name for member in cluster.members]
    assert names == sorted(names)
    assert layout.history_text(cluster.history or ()).startswith("[")
    assert layout.status_text(cluster.optime or 0, cluster.slots, cluster.retain_slots)
    repr(cluster).encode("utf-8", "backslashreplace")
