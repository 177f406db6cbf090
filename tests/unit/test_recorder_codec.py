"""Records to JSON and back: nothing is lost, and old recordings stay readable."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import actions
from engine.state import Known, Member, RestartCondition, Snapshot, Unknown
from shell.recorder.codec import DecodeError, decode, encode

T = TypeVar("T")


class Colour(enum.Enum):
    """An enumeration whose values are numbers."""

    RED = 1
    BLUE = 2


@dataclass(frozen=True, slots=True)
class Circle:
    """One member of a union."""

    radius: float = 1.0


@dataclass(frozen=True, slots=True)
class Square:
    """The other member of that union."""

    side: float
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Box(Generic[T]):
    """A generic record."""

    content: T
    spare: T | None = None


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int = 0


@dataclass(frozen=True)
class Tree:
    """A record that contains itself, and one of everything else."""

    name: str
    shape: Circle | Square | None = None
    branches: tuple[Tree, ...] = ()
    boxed: Box[Circle | Square] | None = None
    pair: tuple[int, str] = (0, "")
    counts: Mapping[int, float] = field(default_factory=dict)
    labels: Mapping[str, str] | Circle = field(default_factory=dict)
    kind: Literal["a", "b", 3] = "a"
    point: Point = field(default=Point(0))
    numbers: frozenset[int] = frozenset()
    anything: Any = None
    flag: bool = False
    either: int | str | None = None


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values that fit an annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=5),
        int: st.integers(),
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
        type(None): st.none(),
        Any: st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    }
    if hint in plain:
        return plain[hint]
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, arguments))
    if origin is frozenset:
        return st.frozensets(values_of(arguments[0]), max_size=3)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(*map(values_of, arguments), max_size=2)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return records_of(hint, origin or hint, arguments)


def records_of(hint: Any, cls: Any, arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Instances of a record class, each field given or left at its default."""

    def build() -> st.SearchStrategy[Any]:
        hints = typing.get_type_hints(cls)
        if arguments:
            (parameter,) = cls.__parameters__
            hints = {
                name: arguments[0]
                if item == parameter
                else item[arguments[0]]
                if getattr(item, "__parameters__", ())
                else item
                for name, item in hints.items()
            }
        if issubclass(cls, tuple):
            names, needed = list(cls._fields), set(cls._fields) - set(cls._field_defaults)
        else:
            fields = dataclasses.fields(cls)
            names = [item.name for item in fields]
            needed = {
                item.name
                for item in fields
                if item.default is item.default_factory is dataclasses.MISSING
            }
        return st.fixed_dictionaries(
            {name: values_of(hints[name]) for name in names if name in needed},
            optional={name: values_of(hints[name]) for name in names if name not in needed},
        ).map(lambda values: cls(**values))

    return st.deferred(build)


def there_and_back(value: Any, hint: Any) -> Any:
    """Through JSON text, as in a recording."""
    return decode(hint, json.loads(json.dumps(encode(value))))


@given(values_of(Tree))
def test_a_record_comes_back_as_it_was(tree: Tree) -> None:
    """Every kind of field survives, nested and empty and at its default."""
    assert there_and_back(tree, Tree) == tree


@given(values_of(Snapshot))
@settings(max_examples=60, deadline=None)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    """The engine's whole input survives."""
    assert there_and_back(snapshot, Snapshot) == snapshot


@given(st.lists(values_of(actions.Action), max_size=3).map(tuple))
@settings(max_examples=60, deadline=None)
def test_a_decision_comes_back_as_it_was(decision: tuple[actions.Action, ...]) -> None:
    """A list of actions survives, each with its class."""
    assert there_and_back(decision, tuple[actions.Action, ...]) == decision


def test_records_inside_anything_come_back() -> None:
    """A record in a field of type Any is found again by its tag, in its own package."""
    action = actions.Remember({"scheduled_restart": RestartCondition(role="replica"), "n": (1, 2)})
    assert there_and_back(action, actions.Action) == action


def test_a_key_that_looks_like_a_tag_is_no_tag() -> None:
    """A mapping with the key "@" stays a mapping."""
    tree = Tree("t", anything={"@": "Circle", "@@": 1}, labels={"@": "Circle"})
    assert there_and_back(tree, Tree) == tree


@pytest.mark.parametrize("value", [0, 0.0, False])
def test_equal_values_of_other_types_are_kept_apart(value: object) -> None:
    """A zero is not taken for a default of False."""
    assert type(there_and_back(Tree("t", anything=value), Tree).anything) is type(value)


def test_infinite_numbers_are_written_as_text() -> None:
    """The form is JSON in the strict sense."""
    form = encode(Tree("t", shape=Square(float("inf"))))
    assert json.loads(json.dumps(form, allow_nan=False)) == form
    assert decode(Tree, form).shape == Square(float("inf"))


def test_defaults_are_left_out() -> None:
    """Only what differs from the default takes room, and the tag stands where it is needed."""
    assert encode(Tree("t", shape=Circle())) == {"@": "Tree", "name": "t", "shape": {"@": "Circle"}}
    assert encode(Member("n1")) == {"@": "Member", "name": "n1"}


def test_old_and_new_recordings_are_readable() -> None:
    """Missing fields take their default, unknown ones are ignored."""
    assert decode(Square, {"side": 2, "invented": [1]}) == Square(2)


def test_generic_records_are_told_apart() -> None:
    """An observation is known or unknown, and its value has the right class."""
    hint = Known[Member] | Unknown
    for value in (Known(Member("n1"), 5.0), Unknown(1.0, "no answer")):
        assert there_and_back(value, hint) == value


@pytest.mark.parametrize(
    ("hint", "data", "message"),
    [
        (Square, {}, "side: missing in Square"),
        (Square, [], "value: expected Square"),
        (Square, {"side": "x"}, "side: expected a number"),
        (Square, {"side": True}, "side: expected a number"),
        (Square, {"side": 1, "colour": 9}, "colour: expected one of"),
        (Tree, {"name": "t", "branches": [{"name": 3}]}, r"branches\[0\].name: expected a text"),
        (Tree, {"name": "t", "pair": [1]}, "pair: expected 2 items"),
        (Tree, {"name": "t", "shape": {"@": "Cone"}}, "shape: expected Circle or Square"),
        (Tree, {"name": "t", "counts": {"x": 1}}, "counts.x: expected a whole number"),
        (Tree, {"name": "t", "kind": "c"}, "kind: expected one of"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_its_place(
    hint: Any, data: Any, message: str
) -> None:
    """The error names the field and what was found there."""
    with pytest.raises(DecodeError, match=message):
        decode(hint, data)


def test_values_without_a_json_form_are_refused() -> None:
    """Bytes and objects are errors, not guesses."""
    with pytest.raises(TypeError, match="bytes"):
        encode(Tree("t", anything=b"x"))
