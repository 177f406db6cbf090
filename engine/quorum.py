"""Synchronous replication as arithmetic: what names keep, what the key promises, what may follow.

Two values, each in a place of its own, are changed one at a time:

- the **names** in force (`synchronous_standby_names`): PostgreSQL acknowledges a commit when that
  many of them have it;
- the **promise** in the store (`sync`): who may lead after this leader, and how many other voters
  it must have seen not ahead of itself.

A promise is *kept* by names if whoever may win by it has every commit that is acknowledged under
them.  A change of the names needs that for the promise as it stands (`keeps`).  A change of the
promise needs it for the names as they stand, and in addition for what was acknowledged before these
names were in force: it lets nobody win that could not win before (`narrows`), or enough voters are
known to have all of that (`proven`).  So every single step is safe, whatever happens after it.

Pure sets and numbers; member names are in lower case, as PostgreSQL compares them.  What the
snapshot shows is read in `engine.synchronous`.
"""

import re
from dataclasses import dataclass

NOBODY: frozenset[str] = frozenset()
# A name that no member has: with it in force every commit waits.
PLACEHOLDER = "__patroni_strict_sync_replica_placeholder__"


@dataclass(frozen=True, slots=True)
class Names:
    """`synchronous_standby_names`: a commit waits for `needed` of `members` (0: for none)."""

    needed: int = 0
    members: frozenset[str] = NOBODY


@dataclass(frozen=True, slots=True)
class Promise:
    """`sync`: a voter may lead once it has seen `quorum` others of them, or of us, not ahead.

    Without voters only the leader itself may lead again.
    """

    voters: frozenset[str] = NOBODY
    quorum: int = 0


def keeps(names: Names, promise: Promise) -> bool:
    """Whether whoever wins by the promise has every commit that is acknowledged under these names.

    It has what `quorum + 1` voters have, or the leader; a commit is on `needed` of the members.
    The two meet if together they are more than all.
    """
    if not promise.voters:
        return True
    return len(promise.voters | names.members) <= promise.quorum + names.needed


def narrows(old: Promise, new: Promise) -> bool:
    """Whether nobody can win by `new` that could not win by `old`."""
    return not new.voters or (new.voters <= old.voters and new.quorum >= old.quorum)


def proven(promise: Promise, confirmed: frozenset[str]) -> bool:
    """Whether every set of voters that can decide contains one of the confirmed.

    Confirmed is who has all that was acknowledged before the names in force were.
    """
    return len(promise.voters - confirmed) <= promise.quorum


def narrowed(promise: Promise, target: Promise, names: Names) -> Promise:
    """The widest narrower promise that the target's names keep."""
    voters = promise.voters & target.voters
    if not voters:
        return Promise()
    quorum = max(promise.quorum, len(voters | names.members) - names.needed)
    return Promise(voters, quorum)


def all_of(members: frozenset[str]) -> tuple[Names, Promise]:
    """Mode `on`: a commit is on every one of them, so each may lead alone."""
    return Names(len(members), members), Promise(members, 0)


def some_of(members: frozenset[str], needed: int) -> tuple[Names, Promise]:
    """Mode `quorum`: a commit is on `needed` of them, so a winner has seen all but so many."""
    needed = min(needed, len(members))
    return Names(needed, members), Promise(members, len(members) - needed)


# --- the text of synchronous_standby_names --------------------------------------------------------

_TOKEN = re.compile(r'\s*(?:(?P<quoted>"(?:[^"]|"")*")|(?P<word>[^\s",()*]+)|(?P<mark>[,()*]))')
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")
_KEYWORDS = frozenset({"any", "first"})


def text_of(names: Names) -> str:
    """How PostgreSQL is told: `a`, `2 (a,b)`, `ANY 1 (a,b,c)`; empty for nobody."""
    if not names.members or names.needed <= 0:
        return ""
    quoted = ",".join(_quoted(name) for name in sorted(names.members))
    if names.needed < len(names.members):
        return f"ANY {names.needed} ({quoted})"
    return quoted if len(names.members) == 1 else f"{names.needed} ({quoted})"


def _quoted(name: str) -> str:
    if _PLAIN.match(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def names_of(text: str) -> Names:
    """What that setting asks for; a text that cannot be read, or that takes anybody, asks nothing.

    `*` lets a backup receiver acknowledge a commit, so it keeps no promise about members.
    """
    tokens = _tokens(text)
    needed, method = 1, tokens[:1] in (["ANY"], ["FIRST"])
    tokens = tokens[1:] if method else tokens
    if len(tokens) > 2 and tokens[1] == "(" and tokens[-1] == ")" and tokens[0].isdigit():
        needed, tokens = int(tokens[0]), tokens[2:-1]
    elif method:
        return Names()
    members = tokens[::2]
    separated = all(mark == "," for mark in tokens[1::2])
    readable = separated and len(tokens) % 2 == 1 and not {*members} & {",", "(", ")", "*", ""}
    return Names(needed, frozenset(members)) if readable and needed > 0 else Names()


def _tokens(text: str) -> list[str]:
    """Names in lower case, marks, and the keywords in capitals; [""] when it cannot be read."""
    found, at = [], 0
    for token in _TOKEN.finditer(text):
        if token.start() != at:
            return [""]
        at = token.end()
        kind, word = token.lastgroup, token[token.lastgroup or 0].lower()
        if kind == "quoted":
            word = word[1:-1].replace('""', '"')
        elif word in _KEYWORDS:
            word = word.upper()
        found.append(word)
    return [""] if text[at:].strip() else found
