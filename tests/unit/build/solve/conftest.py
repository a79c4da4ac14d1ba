"""A world for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.graph import Vertex
from tests.unit.build.solve.world import World, image


@pytest.fixture
def world(tmp_path: Path, loop_runner: asyncio.Runner) -> Iterator[World]:
    async def make() -> World:
        return World(tmp_path)

    made = loop_runner.run(make())
    yield made
    loop_runner.run(made.close())


@pytest.fixture
def base(world: World) -> Vertex:
    return image(world.images.add("busybox", {"bin/sh": "shell"}))


@pytest.fixture
def here(world: World, tmp_path: Path) -> Path:
    """The build context."""
    directory = tmp_path / "context"
    (directory / "src").mkdir(parents=True)
    (directory / "src" / "a").write_text("a1")
    (directory / "src" / "b").write_text("b1")
    world.sources.contexts["context"] = directory
    return directory
