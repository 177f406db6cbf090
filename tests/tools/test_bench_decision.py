"""The benchmark of the decision measures what it says."""

from __future__ import annotations

import pytest

from bench.decision import steady
from engine.decide import decide
from engine.views import cluster
from tests.support.settling import settle


@pytest.mark.parametrize("members", [3, 10])
@pytest.mark.parametrize("node", ["leader", "replica"])
def test_the_measured_clusters_are_at_rest(node: str, members: int) -> None:
    """A steady cluster of that size: nothing is done but to wait for a change."""
    s = steady(node, members)
    view = cluster(s)
    assert view is not None
    assert len(view.members) == members
    assert len(decide(s)) == 1
    assert settle(s, 1) == 0
