"""A cluster that is founded while another one's data comes back."""

from __future__ import annotations

import shutil
import signal
import textwrap
from pathlib import Path

from shell.processes import now
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.node import Node
from tests.e2e.support.stories import prepared


def found_slowly(cluster: Cluster, node: Node, gate: Path) -> None:
    """Let that node's bootstrap be a command that makes its data once `gate` is there."""
    initdb = cluster.postgres.bin_dir / "initdb"
    script = gate.with_suffix(".sh")
    script.write_text(
        textwrap.dedent(f"""\
            until [ -e {gate} ]; do sleep 0.1; done
            exec {initdb} -D "$1" --username=postgres --auth=trust
            """)
    )
    method = {"command": f"sh {script} {node.place.data_dir}", "no_params": True}
    cluster.write_node_file(node, {"bootstrap": {"method": "slow", "slow": method}})


def test_a_beaten_founder_sets_its_data_aside_and_clones_the_leader(tmp_path: Path) -> None:
    """While a member founds the cluster, one with older data leads it; nobody has to help."""
    with prepared(tmp_path, nodes=2) as cluster:
        old, founder = cluster.nodes
        old.start_daemon()
        cluster.wait_for(lambda: old.says_yes("/primary"), 60, "the first leader")
        old.sql("create table kept as select 1 as one")
        old.send_daemon(signal.SIGTERM)
        old.wait_daemon()
        with cluster.keys() as keys:
            keys.delete_all(now() + 10)
        gate = tmp_path / "gate"
        found_slowly(cluster, founder, gate)
        founder.start_daemon()
        cluster.wait_for(
            lambda: "initializing new cluster" in str(founder.get()), 30, "the founding to begin"
        )
        old.start_daemon()
        cluster.wait_for(lambda: old.says_yes("/primary"), 60, "the older data to lead")
        gate.touch()
        cluster.wait_for(cluster.is_healthy, 60, "the founder to stream from the leader")
        assert founder.sql("select one from kept") == [(1,)]
        aside = founder.place.data_dir.with_name(founder.place.data_dir.name + ".failed")
        assert (aside / "PG_VERSION").is_file()
        assert f"moved to {aside}" in founder.log_text(100_000)
        shutil.rmtree(aside)
