"""An observation: known, or unknown and why.  Never a made-up default."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """An observation that succeeded at `when`."""

    value: T
    when: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """An observation that has been failing since `since`; `why` is a sentence without secrets."""

    since: float
    why: str
