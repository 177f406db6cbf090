"""Names and promises, case by case: the text of the setting, and which step may follow which."""

from __future__ import annotations

import pytest

from engine import quorum
from engine.quorum import Names, Promise


def names(needed: int, members: str) -> Names:
    """`needed` of these members, one letter each."""
    return Names(needed, frozenset(members))


def promise(voters: str, quorum_size: int = 0) -> Promise:
    """These voters, one letter each."""
    return Promise(frozenset(voters), quorum_size)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (names(0, ""), ""),
        (names(1, ""), ""),
        (names(0, "a"), ""),
        (names(1, "a"), "a"),
        (names(1, "ba"), "ANY 1 (a,b)"),
        (names(2, "ba"), "2 (a,b)"),
        (names(2, "abc"), "ANY 2 (a,b,c)"),
        (Names(1, frozenset({"n-1"})), '"n-1"'),
        (Names(1, frozenset({"any"})), '"any"'),
        (Names(1, frozenset({"first", "b"})), 'ANY 1 (b,"first")'),
        (Names(1, frozenset({'a"b'})), '"a""b"'),
        (Names(1, frozenset({"3"})), '"3"'),
    ],
)
def test_names_are_written_as_postgresql_reads_them(wanted: Names, text: str) -> None:
    """Sorted, quoted where the grammar needs it, and empty when nobody is waited for."""
    assert quorum.text_of(wanted) == text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1 (a)", names(1, "a")),
        ("a,b,c", names(1, "abc")),
        ("ANY 2 (a,b,c)", names(2, "abc")),
        (' "A" , b ', names(1, "ab")),
        ('"a""b"', Names(1, frozenset({'a"b'}))),
        ('"a,b"', Names(1, frozenset({"a,b"}))),
        ("1 ()", Names()),
        ("(a)", Names()),
        ("1 (a,b", Names()),
        ("a,,b", Names()),
        ("a,b,", Names()),
        ("ANY (a)", Names()),
        ("first", Names()),
        ('""', Names()),
        ("0 (a)", Names()),
        ('"a', Names()),
        ('ANY 1 ("any", b)', Names(1, frozenset({"any", "b"}))),
    ],
)
def test_names_are_read_as_they_were_written(text: str, read: Names) -> None:
    """Every form with its number; what breaks the grammar asks for nobody."""
    assert quorum.names_of(text) == read


@pytest.mark.parametrize(
    ("old", "new", "narrower"),
    [
        (promise("ab", 1), promise("ab", 1), True),
        (promise("ab"), promise("a", 1), True),
        (promise("ab"), promise("ab", 1), True),
        (promise("ab"), promise(""), True),
        (promise(""), promise(""), True),
        (promise("a"), promise("ab"), False),
        (promise("ab", 1), promise("ab"), False),
        (promise("ab", 1), promise("a"), False),
        (promise(""), promise("a"), False),
    ],
)
def test_a_promise_is_narrower_with_fewer_voters_or_more_to_see(
    old: Promise, new: Promise, narrower: bool
) -> None:
    """The same promise counts; nobody may win at all is the narrowest."""
    assert quorum.narrows(old, new) is narrower


@pytest.mark.parametrize(
    ("now", "target", "in_force", "expected"),
    [
        (promise("abc", 1), promise("bc"), names(1, "bc"), promise("bc", 1)),
        (promise("ab"), promise("ab"), names(2, "ab"), promise("ab")),
        (promise("abc"), promise("ab"), names(1, "abc"), promise("ab", 2)),
        (promise("abc", 2), promise("abc"), names(3, "abc"), promise("abc", 2)),
        (promise("a"), promise("b"), names(1, "b"), promise("")),
    ],
)
def test_the_widest_narrower_promise_is_taken(
    now: Promise, target: Promise, in_force: Names, expected: Promise
) -> None:
    """Voters of both; as many to see as before, or as those names need."""
    assert quorum.narrowed(now, target, in_force) == expected


@pytest.mark.parametrize(
    ("promised", "confirmed", "proven"),
    [
        (promise("ab"), "ab", True),
        (promise("ab"), "a", False),
        (promise("ab", 1), "a", True),
        (promise("abc", 1), "a", False),
        (promise(""), "", True),
    ],
)
def test_a_promise_is_proven_by_those_that_have_everything(
    promised: Promise, confirmed: str, proven: bool
) -> None:
    """No more voters than one need not see may lack what was acknowledged."""
    assert quorum.proven(promised, frozenset(confirmed)) is proven


@pytest.mark.parametrize(
    ("in_force", "promised", "kept"),
    [
        (names(0, ""), promise(""), True),
        (names(1, "a"), promise("a"), True),
        (names(0, ""), promise("a"), False),
        (names(1, "ab"), promise("ab"), False),
        (names(1, "ab"), promise("ab", 1), True),
        (names(2, "ab"), promise("a"), True),
        (names(1, "b"), promise("a"), False),
        (names(1, "b"), promise("a", 1), True),
    ],
)
def test_names_keep_a_promise_if_winners_and_confirmers_must_meet(
    in_force: Names, promised: Promise, kept: bool
) -> None:
    """Together they are more than all there are."""
    assert quorum.keeps(in_force, promised) is kept


def test_both_modes_give_names_that_keep_their_promise() -> None:
    """`on`: everyone has a commit, so each may lead alone; `quorum`: all but so many are seen."""
    assert quorum.all_of(frozenset("ab")) == (names(2, "ab"), promise("ab"))
    assert quorum.some_of(frozenset("abc"), 1) == (names(1, "abc"), promise("abc", 2))
    assert quorum.some_of(frozenset("ab"), 3) == (names(2, "ab"), promise("ab"))
