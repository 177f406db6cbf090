"""What follows from each state, and what is true of it: the part that must be fast.

What follows from a pair of numbers of a store and a node (`proof/search/packing.py`) is worked out
once.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from engine.decide import run
from proof.invariants import broken_by_decision
from proof.search import checks, effects, lost, moves, together, word
from proof.search.look import NOW, snapshot
from proof.search.model import NAMES, Node, Op, Shared, View, World
from proof.search.moves import Move
from proof.search.numbers import Numbers
from proof.search.packing import BITS, MASK, Packing


class BrokenPromiseError(Exception):
    """A decision broke a promise; the text says which."""


class Kind(IntEnum):
    """What leads from one state to the next."""

    STEP = 0
    FAULT = 1
    TIME = 2


class Verdict(IntEnum):
    """What is true of a state."""

    BROKEN = 0
    SOUND = 1
    WELL = 2  # sound, and all that faults broke is mended


class Step(NamedTuple):
    """A step for a reader: what happened to whom, and the state after it."""

    text: str
    state: int
    fault: bool


class Space(Packing):
    """Everything that is known about the states of one world so far."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.faces, self.looks = Numbers(), Numbers()
        self.decided: dict[tuple[int, Node, View | None], tuple[tuple[Op, ...], Any]] = {}
        self.rules: set[str] = set()
        self.cut = 0
        self._face_of: dict[int, int] = {}
        self._left: dict[int, list[int | None]] = {}
        self._own: dict[int, tuple[tuple[int, int, int], ...]] = {}
        self._with_others: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._at_rest: dict[int, bool] = {}
        self._alone: dict[int, tuple[tuple[int, int], ...]] = {}
        self._promotes: dict[int, bool] = {}
        self._needs: dict[int, bool] = {}
        self._older: dict[int, int] = {}
        self._store: dict[int, tuple[tuple[int, int], ...]] = {}
        self._later: dict[int, int] = {}
        self._judged: dict[tuple[int, ...], Verdict] = {}
        self._stories = Numbers()
        self._story_of: dict[int, int] = {}
        self._look_of: dict[int, int] = {}

    # --- what follows -----------------------------------------------------------------------------

    def following(self, state: int) -> list[tuple[int, int]]:
        """Every state that can come next, and of which `Kind` the way to it is.

        A tick comes last, also where it changes nothing.
        """
        budget, shared, numbers = self.unpack(state)
        count = len(numbers)
        left = self._paid(budget)
        high, all_nodes = BITS * count, ~(-1 << (BITS * count))
        out: list[tuple[int, int]] = []
        for number in numbers:
            if self._promotes.get(number) is not False and self._is_beyond(number, shared):
                return out
        for n, number in enumerate(numbers):
            shift = BITS * (count - 1 - n)
            rest = state & all_nodes & ~(MASK << shift)
            key = (((number << BITS) | shared) << 2) | n
            own = self._own.get(key)
            if own is None:
                own = self._own[key] = self._own_steps(n, number, shared)
            for node, store, fault in own:
                paid = left[fault]
                if paid is not None:
                    then = ((paid | store) << high) | rest | (node << shift)
                    out.append((then, 1 if fault else 0))
            for node, fault in self._steps_alone(number):
                paid = left[fault]
                if paid is not None:
                    then = ((paid | shared) << high) | rest | (node << shift)
                    out.append((then, 1 if fault else 0))
            needs = self._needs.get(number)
            if needs is None:
                needs = self._needs[number] = together.needs_others(self.nodes.values[number])
            if needs:
                above = ((left[0] or 0) | shared) << high
                nodes = self._steps_with_others(n, numbers)
                out += [(above | rest | (node << shift), 0) for node in nodes]
        self._shared_steps(state, left, shared, numbers, out)
        return out

    def _paid(self, budget: int) -> list[int | None]:
        """By number of a fault (0: none), what is left of the budget after it, in its place."""
        paid = self._left.get(budget)
        if paid is None:
            value, paid = self.budgets.values[budget], [budget << BITS]
            for kind in self.world.faults:
                after = moves.pay(self.world, value, kind)
                paid.append(None if after is None else self.budgets.of(after) << BITS)
            self._left[budget] = paid
        return paid

    def _fault(self, kind: str) -> int:
        """The number of a kind of fault; -1 when this world has none of it."""
        if not kind:
            return 0
        return list(self.world.faults).index(kind) + 1 if kind in self.world.faults else -1

    def _shared_steps(
        self,
        state: int,
        left: list[int | None],
        shared: int,
        numbers: list[int],
        out: list[tuple[int, int]],
    ) -> None:
        high = BITS * len(numbers)
        rest = state & ~(-1 << high)
        stores = self._store.get(shared)
        if stores is None:
            found = moves.of_the_store(self.world, self.shares.values[shared])
            stores = tuple((self.shares.of(then), self._fault(kind)) for _, then, kind in found)
            self._store[shared] = stores
        for store, fault in stores:
            paid = left[fault]
            if paid is not None:
                out.append((((paid | store) << high) | rest, 1 if fault else 0))
        later = self._tick(shared, numbers)
        if later is not None:
            out.append((later | ((left[0] or 0) << high), Kind.TIME))

    def _tick(self, shared: int, numbers: list[int]) -> int | None:
        if self.world.policy.failsafe_mode and self._is_awaited(numbers):
            return None
        later = self._later.get(shared)
        if later is None:
            value = moves.store_later(self.world, self.shares.values[shared])
            later = self._later[shared] = self.shares.of(value)
        for n, number in enumerate(numbers):
            if self.world.timely and not self._rests(n, number, shared):
                return None
            older = self._older.get(number)
            if older is None:
                node = moves.older(self.world, self.nodes.values[number])
                older = self._older[number] = -1 if node is None else self.number(node)
            if older < 0:
                return None
            later = (later << BITS) | older
        return later

    def _is_awaited(self, numbers: list[int]) -> bool:
        """Whether a question or an answer is on its way that arrives before the tick."""
        faces = [self.faces.values[self._face(number)] for number in numbers]
        return word.is_awaited([face.mouth for face in faces])

    def _rests(self, n: int, number: int, shared: int) -> bool:
        """Whether that daemon has nothing more to do at this moment, or cannot."""
        key = (((number << BITS) | shared) << 2) | n
        rests = self._at_rest.get(key)
        if rests is None:
            node, store = self.nodes.values[number], self.shares.values[shared]
            rests = not node.up or node.frozen or self._stays(n, node, store)
            self._at_rest[key] = rests
        return rests

    def _stays(self, n: int, node: Node, shared: Shared) -> bool:
        """Whether another decision, carried out, leaves all as it is.

        A question may be asked again and again; its answer takes time.
        """
        if node.pending:
            return False
        now = self._cycle(n, node, shared).node
        while now.pending and now.pending[0][0] not in {"ask", "ask leader"}:
            move = next(self._effect(n, now, shared))
            if move.shared != shared:
                return False
            now = move.node
        return self.number(now._replace(pending=())) == self.number(node)

    def _own_steps(self, n: int, number: int, shared: int) -> tuple[tuple[int, int, int], ...]:
        found: dict[tuple[int, int, int], None] = {}
        for move in self.shared_moves(n, self.nodes.values[number], self.shares.values[shared]):
            node, store = self.number(move.node), self.shares.of(move.shared)
            fault = self._fault(move.fault)
            if (node, store) != (number, shared) and fault >= 0:
                found[node, store, fault] = None
        return tuple(found)

    def _steps_alone(self, number: int) -> tuple[tuple[int, int], ...]:
        steps = self._alone.get(number)
        if steps is None:
            found = moves.alone(self.world, self.nodes.values[number])
            told = {(self.number(node), self._fault(kind)) for _, node, kind in found}
            steps = self._alone[number] = tuple(x for x in told if x[0] != number)
        return steps

    def is_cut(self, state: int) -> bool:
        """Whether the world ends here: one promotion more than it has would begin."""
        _, shared, numbers = self.unpack(state)
        return any(self._is_beyond(number, shared) for number in numbers)

    def _is_beyond(self, number: int, shared: int) -> bool:
        promotes = self._promotes.get(number)
        if promotes is None:
            job = self.nodes.values[number].job
            promotes = job is not None and job[0] == "promote" and not job[2]
            self._promotes[number] = promotes
        if not promotes:
            return False
        epochs, wal = self.shares.values[shared].epochs, self.nodes.values[number].wal
        # PostgreSQL would number the new timeline like one that this server never saw.
        twin = len(wal) != epochs + 1 and not self.world.twins
        return twin or epochs >= self.world.promotions

    def _steps_with_others(self, n: int, numbers: list[int]) -> tuple[int, ...]:
        key = (n, numbers[n], *(self._face(k) for k in numbers))
        steps = self._with_others.get(key)
        if steps is None:
            node = self.nodes.values[numbers[n]]
            faces = [self.faces.values[k] for k in key[2:]]
            found = {
                self.number(x)
                for _, x in together.steps(n, node, faces, unheard=self.world.unheard)
            }
            steps = self._with_others[key] = tuple(found - {numbers[n]})
        return steps

    def _face(self, number: int) -> int:
        found = self._face_of.get(number)
        if found is None:
            value = together.face(self.nodes.values[number])
            found = self._face_of[number] = self.faces.of(value)
        return found

    # --- one node ---------------------------------------------------------------------------------

    def own_moves(self, n: int, node: Node, shared: Shared) -> Iterator[Move]:
        """Every step of one node that needs no other node."""
        yield from self.shared_moves(n, node, shared)
        for text, changed, kind in moves.alone(self.world, node):
            yield Move(text, changed, shared, kind)

    def shared_moves(self, n: int, node: Node, shared: Shared) -> Iterator[Move]:
        """Those of them that need or change the store."""
        if node.up and not node.frozen:
            if node.pending:
                yield from self._effect(n, node, shared)
            else:
                yield self._cycle(n, node, shared)
        yield from moves.work(self.world, node, shared)
        yield from moves.requests(self.world, n, node, shared)
        yield from moves.stands_still(self.world, node, shared)

    def _cycle(self, n: int, node: Node, shared: Shared) -> Move:
        """The daemon looks and decides; what nobody else can see is done at once."""
        out = word.is_out(node, shared)
        view = None if out else shared.view if node.old_view is None else node.old_view[0]
        if view is not None and view.pause != node.paused:
            node = node._replace(paused=view.pause)
        if view is not None and self.world.loses_keys:
            node = lost.noticed(n, node, view, NOW)
        key = (n, node, view)
        decided = self.decided.get(key)
        if decided is None:
            decided = self.decided[key] = self._decide(n, node, shared)
        ops, rest = decided
        cycled = effects.eager(node._replace(pending=ops, rest=rest))
        return Move("the daemon looks and decides", cycled, shared)

    def _decide(self, n: int, node: Node, shared: Shared) -> tuple[tuple[Op, ...], Any]:
        s = snapshot(self.world, n, node, shared)
        decision = run(s)
        self.rules.update(decision.fired)
        violations = broken_by_decision(s, decision)
        if violations:
            raise BrokenPromiseError("; ".join(map(str, violations)))
        return effects.operations(decision), effects.shown(s)

    def _effect(self, n: int, node: Node, shared: Shared) -> Iterator[Move]:
        kind = node.pending[0][0]
        if kind in effects.STORE:
            for text, changed, then in effects.store_outcomes(self.world, n, node, shared):
                yield Move(text, changed, then)
        elif kind not in {"ask", "ask leader"}:
            for text, changed in effects.local_outcomes(self.world, node):
                yield Move(text, changed, shared)

    # --- for readers ------------------------------------------------------------------------------

    def explained(self, state: int) -> Iterator[Step]:
        """The same as `following`, with what happens in words."""
        budget, shared, nodes = self.read(state)
        faces = [together.face(node) for node in nodes]
        for n, node in enumerate(nodes):
            for move in self.own_moves(n, node, shared):
                left = moves.pay(self.world, budget, move.fault) if move.fault else budget
                if left is not None:
                    after = [move.node if k == n else x for k, x in enumerate(nodes)]
                    text = f"{NAMES[n]}: {self._text(n, move, node, shared)}"
                    yield Step(text, self.pack(left, move.shared, after), bool(move.fault))
            if together.needs_others(node):
                for text, changed in together.steps(n, node, faces, unheard=self.world.unheard):
                    after = [changed if k == n else x for k, x in enumerate(nodes)]
                    yield Step(f"{NAMES[n]}: {text}", self.pack(budget, shared, after), False)
        for text, then, kind in moves.of_the_store(self.world, shared):
            left = moves.pay(self.world, budget, kind) if kind else budget
            if left is not None:
                yield Step(f"store: {text}", self.pack(left, then, nodes), bool(kind))
        number, store, numbers = self.unpack(state)
        later = self._tick(store, numbers)
        if later is not None:
            later |= number << (BITS * (len(numbers) + 1))
            yield Step(f"{self.world.tick:g}s pass", later, False)

    def _text(self, n: int, move: Move, node: Node, shared: Shared) -> str:
        if move.text != "the daemon looks and decides":
            return move.text
        looked = move.node
        node = node._replace(paused=looked.paused, seen=looked.seen, gone=looked.gone)
        fired = run(snapshot(self.world, n, node, shared)).fired
        telling = [rule for rule in fired if not rule.endswith(_CALM)]
        return f"decides {' '.join(telling) or 'nothing new'}"

    # --- what must hold ---------------------------------------------------------------------------

    def judged(self, state: int) -> Verdict:
        """Whether every invariant holds, and all is well: asked once for all that look alike."""
        _, shared, numbers = self.unpack(state)
        key = (self._story(shared), *map(self._look, numbers))
        found = self._judged.get(key)
        if found is None:
            found = self._judged[key] = self._judge(state)
        return found

    def _judge(self, state: int) -> Verdict:
        if self.broken(state):
            return Verdict.BROKEN
        _, shared, nodes = self.read(state)
        looks = [checks.look(node) for node in nodes]
        if checks.healed(looks, shared) or checks.without_a_primary(looks, shared):
            return Verdict.WELL
        return Verdict.SOUND

    def _story(self, number: int) -> int:
        story = self._story_of.get(number)
        if story is None:
            shared = self.shares.values[number]
            view = shared.view
            value = (view.leader, view.pause, view.sync, view.initialized, shared.emptied)
            story = self._story_of[number] = self._stories.of(value)
        return story

    def _look(self, number: int) -> int:
        look = self._look_of.get(number)
        if look is None:
            value = checks.look(self.nodes.values[number])
            look = self._look_of[number] = self.looks.of(value)
        return look

    def broken(self, state: int) -> list[str]:
        """Every invariant that the state breaks."""
        _, shared, nodes = self.read(state)
        return checks.broken(self.world, [checks.look(node) for node in nodes], shared)


_CALM = (".allowed", ".nothing", ".unchanged", ".same", ".told", ".no", ".silent", ".unknown")
