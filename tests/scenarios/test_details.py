"""What actions carry beside their text is as recorded."""

from __future__ import annotations

import pytest

from tests.support.details import detail, recorded
from tests.support.near_misses import starts


@pytest.mark.parametrize("scenario", recorded())
def test_the_actions_carry_what_was_recorded(scenario: str) -> None:
    """Moments, revisions and limits of the guarded rule; `make rewrite` records them again."""
    assert detail(scenario) == recorded()[scenario]


def test_every_detail_is_recorded() -> None:
    """A scenario whose actions carry something has its line."""
    assert {name for name in starts() if detail(name)} == set(recorded())
