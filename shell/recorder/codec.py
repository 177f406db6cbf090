"""Frozen records to JSON-able values and back, directed by their annotations.

Here: one general translation for dataclasses, named tuples, enumerations, tuples, mappings,
unions and generics. Not here: anything about a particular record.

What keeps old recordings readable: fields equal to their default are left out, missing fields
take their default, unknown fields are ignored. A record is tagged with its class name ("@") where
the annotation alone does not tell the class, and at the top.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

T = TypeVar("T")
TAG = "@"

Encoder = Callable[[Any], Any]
Decoder = Callable[[Any, str], Any]
Pair = tuple[Encoder, Decoder]

_MISSING = object()
_NONE = type(None)


class DecodeError(ValueError):
    """The data does not fit the type; the text gives the place and what was found."""


def encode(value: Any) -> Any:
    """JSON-able form of a record, or of a tuple or mapping of records, each with its tag.

    Raises TypeError for a type that has no JSON form here.
    """
    return _encode_any(value)


def decode(cls: Any, data: Any) -> Any:
    """Build a value of `cls` (a record class, or any annotation such as a union) from its form.

    Raises DecodeError when the data does not fit.
    """
    return _pair_for(cls)[1](data, "")


# --- values of any type ---------------------------------------------------------------------------


def _encode_any(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, str | int | float):
        return value
    if _is_record(type(value)):
        return {TAG: type(value).__name__, **_record_for(type(value)).encode(value)}
    if isinstance(value, Mapping):
        return {_escape(str(_encode_any(key))): _encode_any(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(_encode_any, value))
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_encode_any(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _decode_any(package: str) -> Decoder:
    """Decoder for `Any` inside a record: lists become tuples, tags find classes of its package."""

    def decode_value(data: Any, where: str) -> Any:
        if isinstance(data, list):
            return tuple(decode_value(item, f"{where}[{i}]") for i, item in enumerate(data))
        if not isinstance(data, dict):
            return data
        cls = _find_class(package, data[TAG]) if isinstance(data.get(TAG), str) else None
        if cls is not None:
            return _record_for(cls).decode(data, where)
        return {_unescape(key): decode_value(item, f"{where}.{key}") for key, item in data.items()}

    return decode_value


def _find_class(package: str, name: str) -> Any:
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == package:
            found = getattr(module, name, None)
            if isinstance(found, type) and _is_record(found) and found.__module__ == module_name:
                return found
    return None


def _escape(key: str) -> str:
    return TAG + key if key.startswith(TAG) else key


def _unescape(key: str) -> str:
    return key.removeprefix(TAG)


# --- records --------------------------------------------------------------------------------------


def _is_named_tuple(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


def _is_record(cls: Any) -> bool:
    return isinstance(cls, type) and (dataclasses.is_dataclass(cls) or _is_named_tuple(cls))


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    default: Callable[[], Any]
    encode: Encoder
    decode: Decoder


class _Record:
    """The translation of one record class (for a generic one: with these arguments)."""

    def __init__(self, cls: Any, arguments: Mapping[Any, Any]) -> None:
        self._cls = cls
        self._arguments = arguments

    @functools.cached_property
    def _fields(self) -> tuple[_Field, ...]:
        # At first use, not before: records may contain themselves.
        hints = typing.get_type_hints(self._cls)
        package = self._cls.__module__.partition(".")[0]
        return tuple(
            _Field(name, default, *_pair_for(_substitute(hints[name], self._arguments), package))
            for name, default in _fields_of(self._cls)
        )

    def encode(self, value: Any) -> dict[str, Any]:
        result = {}
        for field in self._fields:
            item = getattr(value, field.name)
            if not _same(item, field.default()):
                result[field.name] = field.encode(item)
        return result

    def decode(self, data: Any, where: str) -> Any:
        if not isinstance(data, dict):
            raise _mismatch(where, self._cls.__name__, data)
        values = {}
        for field in self._fields:
            place = f"{where}.{field.name}"
            if field.name in data:
                values[field.name] = field.decode(data[field.name], place)
            elif field.default() is _MISSING:
                raise DecodeError(f"{place.lstrip('.')}: missing in {self._cls.__name__}")
        return self._cls(**values)


def _fields_of(cls: Any) -> list[tuple[str, Callable[[], Any]]]:
    """Names and default makers of the fields that the constructor takes."""
    if _is_named_tuple(cls):
        defaults = cls._field_defaults
        return [(name, _constant(defaults.get(name, _MISSING))) for name in cls._fields]
    result = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        if field.default_factory is not dataclasses.MISSING:
            result.append((field.name, field.default_factory))
        else:
            missing = field.default is dataclasses.MISSING
            result.append((field.name, _constant(_MISSING if missing else field.default)))
    return result


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _same(value: Any, default: Any) -> bool:
    if type(value) is not type(default) and not isinstance(value, Mapping):
        return False  # 0, 0.0 and False are equal, and not the same
    return bool(value == default)


def _record_for(cls: Any) -> _Record:
    return _generic_record(cls, ())


@functools.cache
def _generic_record(cls: Any, arguments: tuple[Any, ...]) -> _Record:
    parameters = getattr(cls, "__parameters__", ())
    return _Record(cls, dict(zip(parameters, arguments, strict=False)))


def _substitute(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    """The annotation with type variables replaced by what they stand for (or by Any)."""
    if isinstance(hint, TypeVar):
        return arguments.get(hint, Any)
    parameters = getattr(hint, "__parameters__", ())
    if parameters and typing.get_origin(hint) is not None:
        return hint[tuple(arguments.get(parameter, Any) for parameter in parameters)]
    return hint


# --- annotations ----------------------------------------------------------------------------------


@functools.cache
def _pair_for(hint: Any, package: str = "") -> Pair:
    """Encoder and decoder for an annotation. Raises TypeError for one that is not supported."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _encode_any, _decode_any(package)
    if origin in (typing.Union, types.UnionType):
        return _union_pair(arguments, package)
    if origin is typing.Literal:
        return _choice_pair(dict(zip(arguments, arguments, strict=True)))
    if _is_record(origin or hint):
        record = _generic_record(origin or hint, arguments)
        return record.encode, record.decode
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum_pair(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    container = origin or hint
    if isinstance(container, type):
        if issubclass(container, Mapping):
            return _mapping_pair(container, arguments, package)
        if issubclass(container, Sequence | AbstractSet):
            return _series_pair(container, arguments, package)
    raise TypeError(f"no JSON form for the annotation {hint!r}")


def _mismatch(where: str, wanted: str, found: Any) -> DecodeError:
    return DecodeError(f"{where.lstrip('.') or 'value'}: expected {wanted}, found {found!r:.80}")


def _plain_pair(cls: type, wanted: str) -> Pair:
    def decode_plain(data: Any, where: str) -> Any:
        if not isinstance(data, cls) or (isinstance(data, bool) and cls is not bool):
            raise _mismatch(where, wanted, data)
        return data

    return (lambda value: value), decode_plain


def _encode_float(value: Any) -> Any:
    # JSON knows no infinity.
    return value if math.isfinite(value) else str(value)


def _decode_float(data: Any, where: str) -> Any:
    if isinstance(data, str) and data in ("inf", "-inf", "nan"):
        return float(data)
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise _mismatch(where, "a number", data)
    return data


_PLAIN: dict[Any, Pair] = {
    str: _plain_pair(str, "a text"),
    int: _plain_pair(int, "a whole number"),
    bool: _plain_pair(bool, "true or false"),
    _NONE: _plain_pair(_NONE, "null"),
    float: (_encode_float, _decode_float),
    object: (_encode_any, _decode_any("")),
}


def _choice_pair(choices: Mapping[Any, Any]) -> Pair:
    def decode_choice(data: Any, where: str) -> Any:
        for key, value in choices.items():
            if key == data and type(key) is type(data):
                return value
        raise _mismatch(where, f"one of {list(choices)}", data)

    return (lambda value: value), decode_choice


def _enum_pair(cls: type[enum.Enum]) -> Pair:
    _, decode_choice = _choice_pair({member.value: member for member in cls})
    return (lambda value: value.value), decode_choice


def _series_pair(container: Any, arguments: tuple[Any, ...], package: str) -> Pair:
    make: Any = list if issubclass(container, list) else tuple
    if issubclass(container, AbstractSet):
        make = frozenset
    fixed = issubclass(container, tuple) and arguments and arguments[-1] is not Ellipsis
    pairs = [_pair_for(item, package) for item in arguments if item is not Ellipsis]
    if not pairs and not fixed:
        pairs = [_pair_for(Any, package)]

    def matched(items: Iterable[Any], where: str) -> Iterable[tuple[Any, Pair]]:
        items = list(items)
        if not fixed:
            return ((item, pairs[0]) for item in items)
        if len(items) != len(pairs):
            raise _mismatch(where, f"{len(pairs)} items", items)
        return zip(items, pairs, strict=True)

    def encode_series(value: Any) -> Any:
        items = [pair[0](item) for item, pair in matched(value, "")]
        return sorted(items) if make is frozenset else items

    def decode_series(data: Any, where: str) -> Any:
        if not isinstance(data, list):
            raise _mismatch(where, "a list", data)
        return make(
            pair[1](item, f"{where}[{index}]")
            for index, (item, pair) in enumerate(matched(data, where))
        )

    return encode_series, decode_series


def _mapping_pair(container: Any, arguments: tuple[Any, ...], package: str) -> Pair:
    key_hint, item_hint = arguments or (str, Any)
    key_encode, key_decode = _pair_for(key_hint, package)
    item_encode, item_decode = _pair_for(item_hint, package)
    numbered = key_hint is int

    def encode_mapping(value: Any) -> Any:
        return {_escape(str(key_encode(key))): item_encode(item) for key, item in value.items()}

    def decode_key(text: str, where: str) -> Any:
        key: Any = _unescape(text)
        if numbered and key.lstrip("-").isdigit():
            key = int(key)
        return key_decode(key, where)

    def decode_mapping(data: Any, where: str) -> Any:
        if not isinstance(data, dict):
            raise _mismatch(where, "a mapping", data)
        result = {}
        for text, item in data.items():
            place = f"{where}.{text}"
            result[decode_key(text, place)] = item_decode(item, place)
        return result if container is dict else types.MappingProxyType(result)

    return encode_mapping, decode_mapping


def _union_pair(alternatives: tuple[Any, ...], package: str) -> Pair:
    records = {_class_of(hint).__name__: hint for hint in alternatives if _is_record_hint(hint)}
    codecs = {name: _pair_for(hint, package) for name, hint in records.items()}
    others = [hint for hint in alternatives if not _is_record_hint(hint) and hint is not _NONE]
    pairs = [_pair_for(hint, package) for hint in others]
    # One class, and nothing else that looks like it in JSON, needs no tag.
    bare = len(codecs) == 1 and not any(_is_open(hint) for hint in others)
    encode_other = pairs[0][0] if len(pairs) == 1 else _encode_any

    def encode_union(value: Any) -> Any:
        if value is None:
            return None
        pair = codecs.get(type(value).__name__) if _is_record(type(value)) else None
        if pair is None:
            return encode_other(value)
        form = pair[0](value)
        return form if bare else {TAG: type(value).__name__, **form}

    def decode_union(data: Any, where: str) -> Any:
        if data is None and _NONE in alternatives:
            return None
        if isinstance(data, dict):
            pair = next(iter(codecs.values())) if bare else codecs.get(str(data.get(TAG)))
            if pair is not None:
                return pair[1](data, where)
        for _, decode_other in pairs:
            try:
                return decode_other(data, where)
            except DecodeError:
                continue
        wanted = [getattr(hint, "__name__", str(hint)) for hint in alternatives]
        raise _mismatch(where, " or ".join(wanted), data)

    return encode_union, decode_union


def _class_of(hint: Any) -> Any:
    return typing.get_origin(hint) or hint


def _is_record_hint(hint: Any) -> bool:
    return _is_record(_class_of(hint))


def _is_open(hint: Any) -> bool:
    """Whether values of this annotation can be JSON objects without being records."""
    cls = _class_of(hint)
    return hint is Any or (isinstance(cls, type) and issubclass(cls, Mapping))
