"""The trie: static before parameters before greedy ones, and back when a branch leads nowhere."""

from __future__ import annotations

from typing import cast

import pytest

from corten.daemon.routing import Handler, Router, Routes


def router() -> Router:
    routes = Routes()
    for method, pattern in (
        ("GET", "/a/json"),
        ("GET", "/a/{id}/json"),
        ("GET", "/i/json"),
        ("GET", "/i/{name*}/json"),
        ("DELETE", "/i/{name*}"),
    ):
        routes.add(method, pattern)(cast(Handler, f"{method} {pattern}"))
    return Router(routes)


@pytest.mark.parametrize(
    ("method", "path", "pattern", "parameters"),
    [
        ("GET", "a/json", "GET /a/json", {}),
        ("GET", "a/x/json", "GET /a/{id}/json", {"id": "x"}),
        ("GET", "a/json/json", "GET /a/{id}/json", {"id": "json"}),
        ("GET", "i/json", "GET /i/json", {}),
        ("GET", "i/json/json", "GET /i/{name*}/json", {"name": "json"}),
        ("GET", "i/a/b/c/json", "GET /i/{name*}/json", {"name": "a/b/c"}),
        ("DELETE", "i/json", "DELETE /i/{name*}", {"name": "json"}),
        ("DELETE", "i/a/json", "DELETE /i/{name*}", {"name": "a/json"}),
        ("HEAD", "a/json", "GET /a/json", {}),
    ],
)
def test_finds(method: str, path: str, pattern: str, parameters: dict[str, str]) -> None:
    assert router().find(method, path.split("/")) == (pattern, parameters)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "a/json"), ("GET", "a"), ("GET", "a/b/c"), ("GET", "i/x")]
)
def test_does_not_find(method: str, path: str) -> None:
    assert router().find(method, path.split("/")) is None


def test_one_handler_each() -> None:
    routes = Routes()
    for pattern in ("/a/{x}", "/a/{y}"):
        routes.get(pattern)(cast(Handler, "h"))
    with pytest.raises(ValueError, match="two handlers"):
        Router(routes)
