"""Tars that are made while a build still runs."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from corten.build.export.early_tars import EarlyTars
from corten.build.export.layer_tars import LayerTars
from corten.errors import NoSpace
from tests.unit.build.export.builds import Builds


def fill(tree: Path) -> None:
    (tree / "file").write_bytes(b"contents")


async def test_the_export_finds_what_was_made(builds: Builds) -> None:
    layer = builds.layer(fill)
    async with EarlyTars(builds.exporter.blobs) as early:
        early.begin(layer)
        while builds.layers.describe(layer).blob is None:
            await asyncio.sleep(0.005)
    blob = builds.layers.describe(layer).blob
    assert blob is not None and builds.store.content.contains(blob.digest)


async def test_what_nobody_waits_for_ends_with_the_build(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    async def slow(self: LayerTars, layer: object, lease: object) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("cancelled")

    monkeypatch.setattr(LayerTars, "_make", slow)
    async with EarlyTars(builds.exporter.blobs) as early:
        early.begin(builds.layer(fill))
        await asyncio.sleep(0.01)
    assert ended == ["cancelled"]


@pytest.mark.parametrize("error", [NoSpace("full"), OSError(errno.EIO, "broken")])
async def test_a_failure_is_left_to_the_export(
    builds: Builds, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def failing(self: LayerTars, layer: object, lease: object) -> None:
        raise error

    monkeypatch.setattr(LayerTars, "_make", failing)
    layer = builds.layer(fill)
    async with EarlyTars(builds.exporter.blobs) as early:
        early.begin(layer)
        await asyncio.sleep(0.01)
    with pytest.raises(type(error)):
        await builds.tars.get(layer, builds.lease)
