"""States as numbers.

A state is one integer: the number of its budget, of its store, then of each node.  Stores and nodes
are numbered as they are first met.  Nodes have the same rules whatever their names, so of all
renamings of a state the smallest stands for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from proof.search import synchronous
from proof.search.alike import alike
from proof.search.model import Budget, Node, Shared, World
from proof.search.numbers import Numbers
from proof.search.rename import renamed_node, renamed_shared

BITS = 24
MASK = (1 << BITS) - 1


class Packing:
    """The numbers of one world's states, and the way back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.budgets, self.shares, self.nodes = Numbers(), Numbers(), Numbers()
        self._first_version: dict[int, int] = {}
        self._referring: dict[tuple[int, int], int] = {}
        identity = tuple(range(world.nodes))
        self._renamings = [p for p in permutations(range(world.nodes)) if p != identity]
        self._renamed_node: list[dict[int, int]] = [{} for _ in self._renamings]
        self._renamed_shared: list[dict[int, int]] = [{} for _ in self._renamings]

    def pack(self, budget: Budget, shared: Shared, nodes: Sequence[Node]) -> int:
        """The number of that state."""
        state = (self.budgets.of(budget) << BITS) | self.shares.of(shared)
        for node in nodes:
            state = (state << BITS) | self.number(node)
        return state

    def number(self, node: Node) -> int:
        """The number of all nodes like this one."""
        if node.sync is not None:
            node = synchronous.settled(node)
        return self.nodes.of(alike(self.world, node))

    def unpack(self, state: int) -> tuple[int, int, list[int]]:
        """The numbers of the budget, the store and the nodes."""
        numbers = []
        for _ in range(self.world.nodes):
            numbers.append(state & MASK)
            state >>= BITS
        numbers.reverse()
        return state >> BITS, state & MASK, numbers

    def read(self, state: int) -> tuple[Budget, Shared, list[Node]]:
        """The state itself."""
        budget, shared, numbers = self.unpack(state)
        nodes = [self.nodes.values[n] for n in numbers]
        return self.budgets.values[budget], self.shares.values[shared], nodes

    def canonical(self, state: int) -> int:
        """The smallest of all renamings of a state."""
        if self.world.synchronous:
            state = self._renumbered(state)
        budget, shared, numbers = self.unpack(state)
        best = state
        for which, order in enumerate(self._renamings):
            table = self._renamed_shared[which]
            other = table.get(shared)
            if other is None:
                value = renamed_shared(self.shares.values[shared], order)
                other = table[shared] = self.shares.of(value)
            other |= budget << BITS
            nodes = self._renamed_node[which]
            for n in order:  # the node that comes to stand at each place
                number = numbers[n]
                new = nodes.get(number)
                if new is None:
                    renamed = renamed_node(self.nodes.values[number], order)
                    new = nodes[number] = self.number(renamed)
                other = (other << BITS) | new
            best = min(best, other)
        return best

    def _renumbered(self, state: int) -> int:
        """The state where the version of the `sync` key that is there is number one."""
        budget, shared, numbers = self.unpack(state)
        key = self.shares.values[shared].view.sync
        if key is None:
            return state
        store = self._first_version.get(shared)
        if store is None:
            value = synchronous.renumbered_shared(self.shares.values[shared])
            store = self._first_version[shared] = self.shares.of(value)
        out = (budget << BITS) | store
        for number in numbers:
            known = (number, key.revision)
            new = self._referring.get(known)
            if new is None:
                node = synchronous.renumbered_node(self.nodes.values[number], key.revision)
                new = self._referring[known] = self.number(node)
            out = (out << BITS) | new
        return out
