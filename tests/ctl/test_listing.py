"""`list`, `topology`, `history`: the tables as text."""

import json
import time

import pytest
import yaml

from ctl import listing, tables
from ctl.tables import Cell, Column
from shell.processes import now
from tests.ctl.support import LSN, World

LIST = """\
+ Cluster: demo (7401234567890123456) ----+----+-------------+-----+------------+-----+
| Member | Host     | Role    | State     | TL | Receive LSN | Lag | Replay LSN | Lag |
+--------+----------+---------+-----------+----+-------------+-----+------------+-----+
| n1     | 10.0.0.1 | Leader  | running   |  3 |             |     |            |     |
| n2     | 10.0.0.2 | Replica | streaming |  3 |   0/5000000 |   0 |  0/5000000 |   0 |
| n3     | 10.0.0.3 | Replica | streaming |  3 |   0/4F00000 |   1 |  0/4E00000 |   2 |
+--------+----------+---------+-----------+----+-------------+-----+------------+-----+
"""


def test_list_of_a_healthy_cluster(demo: World) -> None:
    """The table has the known frame, title, columns and alignment."""
    result = demo.ctl("list")
    assert (result.exit_code, result.output) == (0, LIST)


def test_list_shows_ports_when_they_matter(world: World) -> None:
    """Two members on one host, or another port than 5432: the port is part of the host."""
    world.put("leader", "n1")
    world.publish("n1", 1, conn_url="postgres://127.0.0.1:5433/postgres")
    world.publish("n2", 2, conn_url="postgres://127.0.0.1:5434/postgres")
    output = world.ctl("list").output
    assert "| 127.0.0.1:5433 |" in output
    assert "Cluster: demo (uninitialized)" in output


def test_list_json_leaves_empty_values_out(demo: World) -> None:
    """JSON rows use the titles as keys, with both lags under their own names."""
    first, second, _ = json.loads(demo.ctl("list", "-f", "json").output)
    assert first == {
        "Cluster": "demo",
        "Member": "n1",
        "Host": "10.0.0.1",
        "Role": "Leader",
        "State": "running",
        "TL": 3,
    }
    assert second["Receive LSN"] == second["Replay LSN"] == "0/5000000"
    assert second["Receive Lag"] == second["Replay Lag"] == 0


def test_list_yaml_says_the_same_as_json(demo: World) -> None:
    """yaml, yml and json carry the same rows."""
    expected = json.loads(demo.ctl("list", "-f", "json").output)
    assert yaml.safe_load(demo.ctl("list", "-f", "yaml").output) == expected
    assert yaml.safe_load(demo.ctl("list", "-f", "yml").output) == expected


def test_list_tsv_has_every_column(demo: World) -> None:
    """Tab-separated rows begin with the cluster and keep empty cells."""
    lines = demo.ctl("list", "-f", "tsv").output.split("\n")
    assert lines[0].split("\t") == [column.title for column in listing.COLUMNS]
    assert lines[1].split("\t") == ["demo", "n1", "10.0.0.1", "Leader", "running", "3"] + [""] * 4
    assert lines[3].split("\t")[-4:] == ["0/4F00000", "1", "0/4E00000", "2"]


def test_list_shows_restarts_and_tags_when_there_are_any(demo: World) -> None:
    """The extended columns appear with their first value, with a ruler between tall rows."""
    demo.publish(
        "n2",
        2,
        receive_lsn=LSN,
        replay_lsn=LSN,
        pending_restart=True,
        pending_restart_reason={"max_connections": {"old_value": "100", "new_value": "200"}},
        scheduled_restart={"schedule": "2030-01-01T00:00:00+00:00", "postgres_version": "16.4"},
        tags={"clonefrom": True, "zone": "a"},
    )
    output = demo.ctl("list").output
    assert "| Pending restart | Pending restart reason    | Scheduled restart " in output
    assert (
        "| *               | max_connections: 100->200 | 2030-01-01T00:00:00+00:00 if v" in output
    )
    assert "| clonefrom: true |" in output
    assert "| zone: a         |" in output
    rulers = [line for line in output.split("\n") if line.startswith("+-")]
    assert len(rulers) == 4
    row = json.loads(demo.ctl("list", "-f", "json").output)[1]
    assert row["Tags"] == {"clonefrom": True, "zone": "a"}
    assert row["Pending restart"] == "*"


def test_list_extended_shows_empty_columns(demo: World) -> None:
    """-e shows every column, even when nobody fills it."""
    assert "| Tags |" in demo.ctl("list", "-e").output
    assert "Tags" not in demo.ctl("list").output


def test_list_says_unknown_where_a_position_is_missing(demo: World) -> None:
    """A replica that is being made has no position."""
    demo.publish("n3", 3, state="creating replica", timeline=None)
    line = demo.ctl("list").output.split("\n")[5]
    assert [cell.strip() for cell in line.split("|")[4:-1]] == [
        "creating replica",
        "",
        *["unknown"] * 4,
    ]


@pytest.mark.parametrize(
    ("mode", "title"), [(True, "Sync Standby"), ("quorum", "Quorum Standby"), (False, "Replica")]
)
def test_list_names_synchronous_members(demo: World, mode: object, title: str) -> None:
    """The role of a listed standby follows the mode; names match in any case."""
    demo.put("config", {"synchronous_mode": mode})
    demo.put("sync", {"leader": "n1", "sync_standby": "N2"})
    assert json.loads(demo.ctl("list", "-f", "json").output)[1]["Role"] == title


def test_list_of_a_standby_cluster(demo: World) -> None:
    """The holder of the lock is a standby leader."""
    demo.put("config", {"standby_cluster": {"host": "elsewhere"}})
    assert "| Standby Leader |" in demo.ctl("list").output


def test_list_footer_tells_pause_and_schedule(demo: World) -> None:
    """Maintenance mode and a scheduled switchover stand below the table."""
    demo.put("config", {"pause": True})
    when = "2030-01-01T02:00:00+02:00"
    demo.put("failover", {"leader": "n1", "member": "n2", "scheduled_at": when})
    lines = demo.ctl("list").output.split("\n")[7:]
    assert lines[0] == " Maintenance mode: on"
    assert lines[1].startswith(" Switchover scheduled at: 20")
    assert lines[2:4] == ["                    from: n1", "                      to: n2"]


def test_list_of_several_clusters(demo: World) -> None:
    """Several names give several tables, or one array."""
    other = demo.open("other")
    other.put("initialize", "", now() + 5)
    other.close()
    output = demo.ctl("list", "demo", "other").output
    assert "Cluster: demo (7401234567890123456)" in output
    assert "Cluster: other (initializing)" in output
    rows = json.loads(demo.ctl("list", "demo", "other", "-f", "json").output)
    assert {row["Cluster"] for row in rows} == {"demo"}


def test_list_with_timestamp(demo: World) -> None:
    """-t prints the time above the table."""
    first, rest = demo.ctl("list", "-t").output.split("\n", 1)
    assert len(first) == len("2026-01-01 00:00:00")
    assert rest == LIST


def test_watching_repeats_until_interrupted(demo: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """-w prints again after so many seconds."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) >= 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    result = demo.ctl("list", "-w", "0.5")
    assert waited == [0.5] * 3
    assert result.output.count("Cluster: demo") == 3
    demo.ctl("topology", "-W")
    assert waited[3:] == [2.0]


def test_topology_is_a_tree(demo: World) -> None:
    """Children stand under the member that they stream from."""
    demo.publish("n0", 9, tags={"replicatefrom": "n3"})
    demo.publish("n4", 4, tags={"replicatefrom": "gone"})
    output = demo.ctl("topology").output
    lines = [line for line in output.split("\n")[3:] if "10.0.0." in line]
    shown = [line.split("|")[1][1:].rstrip() for line in lines]
    assert shown == ["n1", "+ n2", "+ n3", "  + n0", "+ n4"]


def test_topology_of_a_loop_shows_everybody_once(demo: World) -> None:
    """Members that replicate from each other still appear."""
    demo.publish("n2", 2, tags={"replicatefrom": "n3"})
    demo.publish("n3", 3, tags={"replicatefrom": "n2"})
    output = demo.ctl("topology").output
    hosts = [f"10.0.0.{number}" for number in (1, 2, 3)]
    assert [output.count(host) for host in hosts] == [1, 1, 1]


def test_history_pads_short_rows(demo: World) -> None:
    """Rows of old releases have no new leader."""
    demo.put("history", [[1, 50331808, "no recovery target specified"], [2, 7, "r", "t", "n1"]])
    assert demo.ctl("history").output == (
        "+----+----------+------------------------------+-----------+------------+\n"
        "| TL |      LSN | Reason                       | Timestamp | New Leader |\n"
        "+----+----------+------------------------------+-----------+------------+\n"
        "|  1 | 50331808 | no recovery target specified |           |            |\n"
        "|  2 |        7 | r                            | t         | n1         |\n"
        "+----+----------+------------------------------+-----------+------------+\n"
    )
    rows = json.loads(demo.ctl("history", "-f", "json").output)
    assert rows[1] == {"TL": 2, "LSN": 7, "Reason": "r", "Timestamp": "t", "New Leader": "n1"}


def test_history_without_any_is_an_empty_table(demo: World) -> None:
    """A cluster on its first timeline has no history, and that is no error."""
    result = demo.ctl("history")
    assert result.exit_code == 0
    assert result.output.count("\n") == 4


def test_a_narrow_terminal_gets_a_table_that_fits() -> None:
    """Three members with address and port fit into 80 columns, without a wrapped line."""
    columns = [*listing.COLUMNS[1:]]
    positions: list[Cell] = ["0/80001E8", 0, "0/80001E8", 0]
    rows: list[list[Cell]] = [
        [f"postgresql{number}", f"127.0.0.1:543{number}", "Replica", "streaming", 5, *positions]
        for number in range(3)
    ]
    framed = tables.frame(columns, rows, "Cluster: demo (7401234567890123456)", width=80)
    assert max(map(len, framed.split("\n"))) <= 80
    assert framed.split("\n")[1:5] == [
        "|Member     |Host          |Role   |State    |TL|  Receive|Lag|   Replay|Lag|",
        "|           |              |       |         |  |      LSN|   |      LSN|   |",
        "+-----------+--------------+-------+---------+--+---------+---+---------+---+",
        "|postgresql0|127.0.0.1:5430|Replica|streaming| 5|0/80001E8|  0|0/80001E8|  0|",
    ]


def test_a_title_longer_than_the_frame_overhangs() -> None:
    """A small table keeps its whole title."""
    framed = tables.frame([Column("A")], [["x"]], "a long title")
    assert framed.split("\n") == ["+ a long title +", "| A |", "+---+", "| x |", "+---+"]


@pytest.mark.parametrize(
    "command", ["list", "topology", "history", "dsn", "show-config", "version"]
)
def test_another_programs_data_under_our_keys(demo: World, command: str) -> None:
    """Garbage in the store never ends in a traceback."""
    for key in ("status", "sync", "failover", "history", "config", "members/n2", "members/ü"):
        demo.put(key, '[[{"x": [1e999, null]}]]')
    demo.put("members/n3", '{"state": 3, "tags": [], "pending_restart_reason": {"a": 1}}')
    result = demo.ctl(command)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (0, 1)
