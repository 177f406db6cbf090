"""Accounts that are not root, and how a process becomes one.

Belongs here: finding such an account and running something as it. Must not: decide what is run.
Standard library only.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable
from dataclasses import dataclass

ACCOUNTS = ("nobody", "daemon", "postgres")


class ToolError(Exception):
    """Something a person has to mend; the text says what and how."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this machine that is not root."""

    name: str
    uid: int
    gid: int

    def become(self) -> None:
        """Drop every privilege of this process for good."""
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        os.umask(0o022)


def find_account() -> Account:
    """Return the first account that this process can really become.

    Raises ToolError when there is none, as in a user namespace that maps only root.
    """
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(name, entry.pw_uid, entry.pw_gid)
        if as_account(account, lambda: None):
            return account
    raise ToolError(
        f"can become none of the accounts {', '.join(ACCOUNTS)}, and PostgreSQL refuses root: "
        "add one (`useradd --system nobody`), or run make as an ordinary user"
    )


def start(work: Callable[[], None]) -> int:
    """Run `work` in a child process and return its id; the child exits 0 unless it failed."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child != 0:
        return child
    status = 1
    try:
        work()
        status = 0
    except OSError as error:
        print(f"tools: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def as_account(account: Account, work: Callable[[], None]) -> bool:
    """Run `work` in a child process as the account; False when it failed or could not be."""

    def become_and_work() -> None:
        account.become()
        work()

    return os.waitpid(start(become_and_work), 0)[1] == 0
