"""What is compiled of the simulator, and what is changed for it."""

from __future__ import annotations

import ast

from tools.compiled import CHECKOUT, compilable, to_be_compiled


def test_the_whole_world_and_the_whole_engine_are_compiled() -> None:
    """All of a run but its plain data; a module that is new is among them by itself."""
    modules = to_be_compiled(CHECKOUT)
    assert {"engine/decide.py", "engine/tables/race.py", "proof/world/store.py"} <= set(modules)
    assert "engine/rule.py" not in modules
    assert not [name for name in modules if name.startswith(("engine/actions", "proof/search"))]


def test_nothing_but_slots_is_taken_away() -> None:
    """The compiled sources say the same, and no dataclass asks for slots any more."""
    for name in to_be_compiled(CHECKOUT):
        source = (CHECKOUT / name).read_text()
        left = compilable(source)
        assert "slots=True" not in left, name
        assert left.count("@dataclass") == source.count("@dataclass"), name
        ast.parse(left)
