"""What one node does with another: stream, ask, copy.

Belongs here: the moves whose outcome depends on another node.  Others are seen as `Face`: what a
network can reach of a node, its daemon's REST answer and its server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from proof.search import effects, word
from proof.search.model import (
    NAMES,
    Node,
    Peer,
    Pg,
    Told,
    Wal,
    forks,
    is_beginning,
    lsn,
    same_bytes,
)
from proof.search.moves import ended


class Face(NamedTuple):
    """What other nodes can learn of a node or get from it."""

    rest: tuple[str, str, int | None, int | None] | None  # None: no daemon answers
    pg: Pg
    checkpointed: bool
    wal: Wal
    upstream: int | None = None  # told only where it counts, in synchronous mode
    mouth: word.Mouth | None = None


_UNREACHABLE = Face(None, Pg.DOWN, False, ())


def face(node: Node) -> Face:
    """That node, as others reach it."""
    if node.cut and node.word is not None:
        return Face(None, Pg.DOWN, False, ())
    serves = node.pg in {Pg.STANDBY, Pg.PROMOTING, Pg.PRIMARY, Pg.CLOSING}
    return Face(
        node.rest if node.up and not node.frozen else None,
        node.pg if serves else Pg.DOWN,
        node.checkpointed and node.pg is Pg.PRIMARY,
        node.wal if serves else (),
        node.upstream if node.sync is not None and node.pg is Pg.STANDBY and not node.cut else None,
        word.mouth(node),
    )


def needs_others(node: Node) -> bool:
    """Whether a next step of this node depends on another one."""
    if node.pg is Pg.STANDBY and node.upstream is not None:
        return True
    if node.sync is not None and node.pg is Pg.PRIMARY:
        return True
    if node.frozen:
        return False
    if node.word is not None and node.up:
        return True
    if node.job is not None and node.job[0] in {"rewind", "clone"}:
        return True
    return bool(node.pending) and node.pending[0][0] in {"ask", "ask leader"}


def steps(
    n: int, node: Node, faces: Sequence[Face], *, unheard: bool
) -> Iterator[tuple[str, Node]]:
    """Every step of node `n` that needs others; `faces` are those of all nodes.

    `unheard`: a question over REST may go without an answer although the other daemon is there.
    """
    if node.sync is not None and node.pg is Pg.PRIMARY:
        yield from _confirmed(n, node, faces)
    if node.pg is Pg.STANDBY and node.upstream is not None and not node.cut:
        source = faces[node.upstream]
        if streams(node.wal, source) and node.wal != source.wal:
            yield "it receives WAL", node._replace(wal=source.wal)
    if node.frozen:
        return
    yield from word.steps(n, node, [x.mouth for x in faces])
    if node.word is not None and node.cut:
        faces = [_UNREACHABLE for _ in faces]
    if node.job is not None and node.job[0] in {"rewind", "clone"}:
        yield _copied(node, faces[node.job[3][0]])
    if node.pending and node.pending[0][0] == "ask":
        yield from _asked(node, faces, unheard=unheard)
    if node.pending and node.pending[0][0] == "ask leader":
        yield _asked_leader(node, faces)


def _confirmed(n: int, node: Node, faces: Sequence[Face]) -> Iterator[tuple[str, Node]]:
    """A standby confirms what it has, or is seen to be gone, some time after it is so."""
    assert node.sync is not None
    for k, other in enumerate(faces):
        mine = other.pg is Pg.STANDBY and other.upstream == n
        at = lsn(other.wal) if mine and streams(other.wal, faces[n]) else None
        if at != node.sync.rows[k]:
            rows = tuple(at if m == k else x for m, x in enumerate(node.sync.rows))
            text = f"{NAMES[k]} is gone" if at is None else f"{NAMES[k]} has confirmed {at}"
            yield text, node._replace(sync=node.sync._replace(rows=rows))


def streams(wal: Wal, source: Face) -> bool:
    """Whether PostgreSQL would stream from that server: it compares timelines and positions.

    It sees numbers only; whether the WAL is really the same is another question (`diverges`).
    """
    if source.pg not in {Pg.PRIMARY, Pg.CLOSING}:
        return False
    mine, theirs = len(wal), len(source.wal)
    if mine > theirs:
        return False
    end = lsn(source.wal) if mine == theirs else forks(source.wal)[mine - 1]
    return lsn(wal) <= end


def diverges(wal: Wal, source: Face) -> bool:
    """Whether the WAL is not the beginning of that server's."""
    return not is_beginning(wal, source.wal)


def _copied(node: Node, source: Face) -> tuple[str, Node]:
    assert node.job is not None
    kind = node.job[0]
    if source.pg is not Pg.PRIMARY or node.pg is not Pg.DOWN:
        return f"{kind} fails", ended(node, False)
    copy = node._replace(
        wal=source.wal, half=False, control="in archive recovery", signal=kind == "clone"
    )
    return f"{kind} has ended", ended(copy, True)


def _asked(node: Node, faces: Sequence[Face], *, unheard: bool) -> Iterator[tuple[str, Node]]:
    op = node.pending[0]
    choices = []
    for n in op[1]:
        rest = faces[n].rest
        silent = (n, Peer(0.0, False))
        if rest is None:
            choices.append([silent])
        else:
            state, role, at, timeline = rest
            answer = (n, Peer(0.0, True, role, state, at, timeline))
            choices.append([answer, silent] if unheard else [answer])
    for chosen in product(*choices):
        peers = list(node.peers)
        for n, peer in chosen:
            peers[n] = peer
        said = "".join("." if peer.reachable else "-" for _, peer in chosen)
        yield (
            f"peers are asked ({said})",
            effects.after(node._replace(peers=tuple(peers)), op, True),
        )


def _asked_leader(node: Node, faces: Sequence[Face]) -> tuple[str, Node]:
    op = node.pending[0]
    leader, source = op[1], faces[op[1]]
    told = None
    if source.pg in {Pg.STANDBY, Pg.PROMOTING, Pg.PRIMARY}:
        told = Told(
            leader,
            0.0,
            len(source.wal),
            source.pg is not Pg.PRIMARY,
            source.checkpointed,
            forks(source.wal),
            same_bytes(node.wal, source.wal),
            *op[2:],
        )
    return "the leader is asked", effects.after(node._replace(told=told), op, True)
