"""What a mistake of the gallery is: the way to make it, and those that must catch it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.gallery.breaking import Breaking
from tests.gallery.catching import Catcher


@dataclass(frozen=True, slots=True)
class Mistake:
    """A deliberate bug: `what` was done wrong, the `harm` to a user, and who must catch it."""

    name: str
    what: str
    harm: str
    make: Breaking
    caught_by: tuple[Catcher, ...]
