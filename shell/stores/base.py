"""What every store adapter promises: the interface, its records and its errors.

Belongs here: the `Store` protocol, the records that it returns, and the errors that it raises.
Does not belong here: anything about one particular store, and any decision about who should lead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from shell.processes import now


class StoreError(Exception):
    """A store operation failed; the message names the place and the mend."""


class StoreUnavailable(StoreError):  # noqa: N818 - the state of the store, not a programming error
    """The operation was not done, or may have been done without us learning of it.

    Raised for timeouts, broken connections and a missing quorum. Whoever catches it must look at
    the store again before assuming either outcome.
    """


class StoreMisconfigured(StoreError):  # noqa: N818 - names the state that a person has to mend
    """Trying again cannot help: wrong API, refused credentials, failed TLS, missing section."""


class TooLate(StoreUnavailable):
    """Not sent (again): the moment had passed after which it must not be.

    An earlier attempt may have been carried out.
    """


NEVER = float("inf")  # a moment that does not pass


def refuse_late(begin_before: float) -> None:
    """To be called right before a request goes out; raises `TooLate`."""
    late = now() - begin_before
    if late > 0:
        raise TooLate(f"a request was held back: it came {late:.1f}s too late to be sent")


@dataclass(frozen=True, slots=True)
class Entry:
    """One key's value, and the revision that `replace` and `delete` compare with."""

    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class View:
    """Every key below the base path at one moment.

    `entries` is keyed by the name relative to the base: `leader`, `members/n1`, `config`.
    `seen_at` is the instant (CLOCK_BOOTTIME seconds) at which the view is last known to have been
    current. A watch-fed view keeps its `seen_at` while nothing confirms that the server is alive.
    """

    entries: Mapping[str, Entry]
    seen_at: float


class Store(Protocol):
    """The configuration store of one cluster, as the daemon and ctl use it.

    Every deadline is an instant in CLOCK_BOOTTIME seconds, and every call may be made from any
    thread. Calls that concern the TTL keys of one store object (`acquire_leader`, `renew_leader`,
    `release_leader`, `publish_member`, `delete_member`) are done one after the other.

    Every call raises `StoreUnavailable` when its deadline passes without a certain outcome, and
    `StoreMisconfigured` when a person has to change something.
    """

    @property
    def requests_sent(self) -> int:
        """Requests (embedded: transactions) sent so far; never decreases."""

    def view(self, deadline: float) -> View:
        """Return the current view, without a request while a healthy watch feeds it.

        It includes every change that this object itself has made, and never goes back: what one
        view shows, the next one shows too, or something newer.
        """

    def read(self, deadline: float) -> View:
        """Ask the server for the view, linearizably where the store can do so."""

    def watch(self, on_change: Callable[[], None]) -> None:
        """Start following the keys in the background.

        `on_change` runs in a thread of the store's: within milliseconds of every change below the
        base, and once when the connection is made, lost or regained. It must not block, nor call
        the store. To be called at most once for each store object.
        """

    def acquire_leader(
        self,
        name: str,
        ttl_seconds: int,
        deadline: float,
        *,
        begin_before: float = NEVER,
        initialize: str | None = None,
    ) -> bool:
        """Create the leader key if nobody has it; True when it is ours for `ttl_seconds`.

        The lease runs from the start of this call at the earliest. False says that somebody,
        perhaps an earlier process of our own name, has the key; or that `initialize` does not hold
        the value that it must. No attempt to create it is sent after `begin_before`.
        """

    def renew_leader(
        self,
        name: str,
        ttl_seconds: int,
        deadline: float,
        *,
        create: bool = True,
        begin_before: float = NEVER,
    ) -> bool:
        """Extend our leader key; True when it is ours for `ttl_seconds` from the call's start.

        A missing key is created again if `create` says so. False says that somebody else
        certainly owns it, or that it is missing and was not created. Nothing that may create it is
        sent after `begin_before`.
        """

    def release_leader(self, name: str, deadline: float) -> bool:
        """Delete the leader key if its value is our name; True when that was so.

        A request that is carried out late, after a renewal, deletes nothing.
        """

    def publish_member(self, name: str, value: str, ttl_seconds: int, deadline: float) -> None:
        """Write `members/<name>` with a TTL, or only extend the TTL of an unchanged value.

        Called within a second after `renew_leader`, an unchanged value costs no request in a
        store where one lease carries both keys.
        """

    def delete_member(self, name: str, deadline: float) -> None:
        """Delete `members/<name>`; a missing key is fine."""

    def put(self, key: str, value: str, deadline: float) -> None:
        """Write a permanent key, whatever it holds."""

    def create(
        self, key: str, value: str, deadline: float, *, given: tuple[str, int] | None = None
    ) -> bool:
        """Write a permanent key if it is missing; False when it exists.

        Given another key and its revision, only while that one is there, unchanged; False as well
        when it is not.
        Raises `StoreUnavailable` when a reply was lost and the key then holds this same value:
        whether we or somebody else wrote it cannot be told.
        """

    def replace(self, key: str, value: str, revision: int, deadline: float) -> bool:
        """Write a permanent key if its revision is still `revision`."""

    def delete(
        self,
        key: str,
        deadline: float,
        revision: int | None = None,
        *,
        unless: str | None = None,
    ) -> bool:
        """Delete a key, if its revision is still `revision` when given; True when it is gone.

        With `unless`, only while there is no key of that name.
        """

    def delete_all(self, deadline: float) -> None:
        """Delete every key below the base path."""

    def scopes(self, deadline: float) -> list[str]:
        """Return the sorted names of all clusters in the namespace."""

    def close(self) -> None:
        """Stop watching and close the connections; TTL keys are left to expire."""


def namespace_path(namespace: str) -> str:
    """Return `/<namespace>` with duplicate slashes folded, or an empty text for the root."""
    parts = [part for part in namespace.split("/") if part]
    return "".join(f"/{part}" for part in parts)


def base_path(namespace: str, scope: str) -> str:
    """Return `/<namespace>/<scope>` with duplicate slashes folded and none at the end."""
    return namespace_path(f"{namespace}/{scope}")
