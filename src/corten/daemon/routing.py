"""From a method and a path to a handler: a trie of path segments, without regular expressions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from corten.daemon.call import Call
    from corten.daemon.message import Answer

Handler: TypeAlias = "Callable[[Call], Awaitable[Answer]]"


class Routes:
    """Handlers of one resource, gathered by decorators: `@routes.get("/containers/{id}/json")`.

    `{id}` is one segment; `{name*}` is one or more (image names hold slashes) and is last, or last but one.
    """

    def __init__(self) -> None:
        self.table: list[tuple[str, str, Handler]] = []

    def add(self, method: str, pattern: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.table.append((method, pattern, handler))
            return handler

        return register

    def get(self, pattern: str) -> Callable[[Handler], Handler]:
        return self.add("GET", pattern)

    def head(self, pattern: str) -> Callable[[Handler], Handler]:
        return self.add("HEAD", pattern)

    def post(self, pattern: str) -> Callable[[Handler], Handler]:
        return self.add("POST", pattern)

    def put(self, pattern: str) -> Callable[[Handler], Handler]:
        return self.add("PUT", pattern)

    def delete(self, pattern: str) -> Callable[[Handler], Handler]:
        return self.add("DELETE", pattern)


class _Node:
    __slots__ = ("greedy", "handlers", "name", "parameter", "static")

    def __init__(self) -> None:
        self.static: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.name = ""
        self.handlers: dict[str, Handler] = {}
        #: (what follows the greedy parameter, or "") → its node
        self.greedy: dict[str, _Node] = {}


class Router:
    """All routes; immutable once built."""

    def __init__(self, *groups: Routes) -> None:
        self._root = _Node()
        for group in groups:
            for method, pattern, handler in group.table:
                self._insert(method, pattern, handler)

    def _insert(self, method: str, pattern: str, handler: Handler) -> None:
        node = self._root
        segments = pattern.strip("/").split("/")
        for position, segment in enumerate(segments):
            if segment.endswith("*}"):
                rest = segments[position + 1 :]
                node = node.greedy.setdefault(rest[0] if rest else "", _Node())
                node.name = segment[1:-2]
                break
            if segment.startswith("{"):
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
                node.name = segment[1:-1]
            else:
                node = node.static.setdefault(segment, _Node())
        if method in node.handlers:
            raise ValueError(f"two handlers for {method} {pattern}")
        node.handlers[method] = handler

    def find(self, method: str, segments: Sequence[str]) -> tuple[Handler, dict[str, str]] | None:
        """The handler and its parameters, or None; a HEAD is also answered by what answers GET."""
        found = self._walk(self._root, method, segments, 0, {})
        if found is None and method == "HEAD":
            found = self._walk(self._root, "GET", segments, 0, {})
        return found

    def _walk(
        self, node: _Node, method: str, segments: Sequence[str], position: int, parameters: dict[str, str]
    ) -> tuple[Handler, dict[str, str]] | None:
        if position == len(segments):
            handler = node.handlers.get(method)
            return None if handler is None else (handler, parameters)
        segment = segments[position]
        child = node.static.get(segment)
        if child is not None:
            found = self._walk(child, method, segments, position + 1, parameters)
            if found is not None:
                return found
        child = node.parameter
        if child is not None:
            found = self._walk(child, method, segments, position + 1, {**parameters, child.name: segment})
            if found is not None:
                return found
        return self._walk_greedy(node, method, segments, position, parameters) if node.greedy else None

    def _walk_greedy(
        self, node: _Node, method: str, segments: Sequence[str], position: int, parameters: dict[str, str]
    ) -> tuple[Handler, dict[str, str]] | None:
        last = node.greedy.get(segments[-1]) if len(segments) - position > 1 else None
        for child, end in ((last, len(segments) - 1), (node.greedy.get(""), len(segments))):
            if child is not None and (handler := child.handlers.get(method)) is not None:
                return handler, {**parameters, child.name: "/".join(segments[position:end])}
        return None
