"""Searching: the old index, or else the catalog, or else a clear sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from corten.errors import Unsupported
from corten.image.registry.search import search
from tests.unit.image.registry.fake import FakeRegistry, refused, registries


async def test_an_index_answers(tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path != "/v1/search":
            return None
        assert dict(request.query) == {"q": "a b", "n": "3"}
        hits = [{"name": "x/a", "description": None, "star_count": 7, "is_official": True}, {"name": "y/a"}]
        return web.json_response({"num_results": 2, "results": hits})

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.hook = hook
        hits = await search(known.client(fake.host), "a b", limit=3)
        assert [(hit.name, hit.star_count, hit.is_official) for hit in hits] == [
            ("x/a", 7, True),
            ("y/a", 0, False),
        ]


async def test_a_catalog_does_as_well(tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/v2/_catalog":
            return web.json_response({"repositories": ["z/my-app", "other", "team/app", "app"]})
        return None

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.hook = hook
        hits = await search(known.client(fake.host), "app")
        assert [hit.name for hit in hits] == ["app", "team/app", "z/my-app"]
        assert [hit.name for hit in await search(known.client(fake.host), "app", limit=1)] == ["app"]


async def test_neither(tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return refused(404, "UNSUPPORTED") if request.path == "/v2/_catalog" else None

    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.hook = hook
        with pytest.raises(Unsupported, match="neither /v1/search nor a catalog"):
            await search(known.client(fake.host), "app")
