"""Single facts, each asked where its answer hangs on one of its terms."""

from __future__ import annotations

import pytest

from tests.support.answers import Answer, facts, holds, recorded


@pytest.mark.parametrize("answer", recorded(), ids=lambda x: x.line)
def test_a_fact_answers_as_recorded(answer: Answer) -> None:
    """What is unknown, and each term, count as they did; `make rewrite` records again."""
    assert holds(answer)


def test_only_facts_of_the_engine_are_asked() -> None:
    """A fact that is gone leaves no line behind."""
    assert {answer.fact for answer in recorded()} <= set(facts())
