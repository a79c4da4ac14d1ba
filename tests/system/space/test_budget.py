"""`[images] max_disk`: an engine that makes room, and tells."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from corten.engine.disk_budget import DiskBudget, configured_limit
from corten.engine.engine import Engine
from corten.errors import InvalidArgument
from tests.system.space.test_df import fsck, load
from tests.unit.image.images import docker_archive
from tests.unit.snapshot.archives import member, tar_of


@pytest.mark.parametrize(
    ("text", "size"),
    [('"20GiB"', 20 << 30), ('"1.5g"', 3 << 29), ('"500MB"', 500_000_000), ("4096", 4096), ('"10 K"', 10240)],
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    config = tmp_path / "corten.toml"
    config.write_text(f"[images]\nmax_disk = {text}\n")
    assert configured_limit({"CORTEN_CONFIG": str(config)}) == size


@pytest.mark.parametrize("text", ['"many"', "0", "-1", "true", '"0"', '"20XB"', "[1]"])
def test_what_is_no_size(tmp_path: Path, text: str) -> None:
    config = tmp_path / "corten.toml"
    config.write_text(f"[images]\nmax_disk = {text}\n")
    with pytest.raises(InvalidArgument, match=r"images\.max_disk"):
        configured_limit({"CORTEN_CONFIG": str(config)})
    config.write_text("[images]\nmax = 1\n")
    with pytest.raises(InvalidArgument, match="max_disk"):
        configured_limit({"CORTEN_CONFIG": str(config)})


def test_nothing_configured(tmp_path: Path) -> None:
    assert configured_limit({"CORTEN_CONFIG": str(tmp_path / "no.toml")}) is None


@pytest.mark.root
async def test_room_is_made_after_a_load(engine: Engine) -> None:
    usage = await engine.system.df(("image",))
    budget = DiskBudget(engine._core, usage.layers_size + 1_500_000, grace=0)
    events = engine.events.subscribe(filters={"event": ["evict"]})
    budget.begin()
    try:
        for name in ("a", "b", "c"):
            layer = tar_of([member(name, os.urandom(300_000))])
            await load(engine, docker_archive([layer], [f"{name}:1"]))
        event = await asyncio.wait_for(anext(events), 20)
    finally:
        await budget.close()
        await events.aclose()  # type: ignore[attr-defined]
    # busybox was never used, and came first.
    assert event.actor_id and event.attributes["name"] == "busybox:latest"
    assert int(event.attributes["reclaimed"]) > 500_000
    left = {tag for image in await engine.images.list() for tag in image.repo_tags}
    assert left == {"a:1", "b:1", "c:1"}
    assert (await engine.system.df(("image",))).layers_size <= budget.limit
    assert (await fsck(engine))[0] == []
