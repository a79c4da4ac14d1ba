"""The stages of a Dockerfile: which there are, and which need which."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from corten.build.instructions.suggestion import suggestion
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.parser.syntax_tree import Node
from corten.build.plan.stage_state import StageState
from corten.errors import InvalidArgument

_INDEX = re.compile(r"[+-]?[0-9]{1,18}")


class StageTable:
    """Stages in the order of the file; behind them what COPY --from and mounts name besides. `aliases` are
    names that stand for others."""

    def __init__(self, aliases: Mapping[str, str] = {}) -> None:
        self.states: list[StageState] = []
        self._by_name: dict[str, StageState] = {}
        self._others: dict[str, StageState] = {}
        self._aliases = {name.lower(): stage for name, stage in aliases.items()}

    def add(self, state: StageState) -> None:
        """`state` is the last from now on. It is based on the stage that its FROM names, if one before it
        has that name."""
        self.states.append(state)
        state.base = self._by_name.get(state.base_name) or self._aliased(state.base_name)
        if state.name:
            self._by_name[state.name] = state

    def find(self, name: str) -> StageState | None:
        """By name; case does not matter."""
        return self._aliased(name.lower()) or self._by_name.get(name.lower())

    def _aliased(self, name: str) -> StageState | None:
        stage = self._aliases.get(name)
        return None if stage is None else self._by_name.get(stage.lower()) or self._numbered(stage)

    def _numbered(self, text: str) -> StageState | None:
        """A stage of the Dockerfile by its number, from 0."""
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
        if not 0 <= number < len(self.states):
            return None
        state = self.states[number]
        return state if state.stage is not None else None

    def source(self, node: Node, name: str) -> StageState:
        """What COPY --from means: a stage by its name or number, or else a context or an image."""
        if _INDEX.fullmatch(name) is None:
            return self.find(name) or self._outside(node, name)
        number = int(name)
        if not 0 <= number < len(self.states):
            raise error_at(node, f"invalid stage index {number}", name)
        return self.states[number]

    def mount_source(self, node: Node, name: str) -> StageState:
        """What `from=` of a mount means: the same, but for numbers."""
        return self.find(name) or self._outside(node, name)

    def _outside(self, node: Node, name: str) -> StageState:
        """One for each name, from the first instruction that has it."""
        state = self._others.get(name)
        if state is None:
            state = self._others[name] = StageState(node, name)
            self.add(state)
        return state

    def target(self, name: str) -> StageState:
        """The stage that is to be built: by name, or by number; the last, where it is not said. Raises
        NotFound in the form of InvalidArgument, as everything that is wrong with the request."""
        if not name:
            return [state for state in self.states if state.stage is not None][-1]
        found = self.find(name) or self._numbered(name)
        if found is None:
            raise InvalidArgument(
                f"target stage {quoted(name)} could not be found{suggestion(name, self.labels())}"
            )
        return found

    def labels(self) -> list[str]:
        """What the stages are called, for suggestions."""
        return [state.label for state in self.states if state.label]


def reachable(target: StageState) -> set[StageState]:
    """`target`, and every stage that it needs."""
    found: set[StageState] = set()
    pending = [target]
    while pending:
        state = pending.pop()
        if state in found:
            continue
        found.add(state)
        if state.base is not None:
            pending.append(state.base)
        pending += state.dependencies
    return found


def check_cycles(states: Iterable[StageState]) -> None:
    """Raises DockerfileError, which points at the instruction that closes a circle."""
    finished: set[StageState] = set()
    for first in states:
        if first in finished:
            continue
        node = _closing(first, finished)
        if node is not None:
            raise DockerfileError(
                f"circular dependency detected on stage: {first.label}",
                node.start_line,
                1,
                end_line=node.end_line,
                length=len(node.keyword),
            )


def _closing(first: StageState, finished: set[StageState]) -> Node | None:
    path = {first}
    stack = [(first, iter(first.dependencies.items()))]
    while stack:
        state, rest = stack[-1]
        for needed, node in rest:
            if needed in path:
                return node
            if needed not in finished:
                path.add(needed)
                stack.append((needed, iter(needed.dependencies.items())))
                break
        else:
            stack.pop()
            path.discard(state)
            finished.add(state)
    return None
