"""What a promise is, and which decisions it says nothing about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from engine.actions import Action
from engine.state import Snapshot

Promise: TypeAlias = Callable[[Snapshot, Sequence[Action]], None]

ABOUT: dict[Promise, tuple[type, ...]] = {}


def about(*kinds: type) -> Callable[[Promise], Promise]:
    """Say that a promise is always kept by a decision without any action of these classes."""

    def note(promise: Promise) -> Promise:
        ABOUT[promise] = kinds
        return promise

    return note
