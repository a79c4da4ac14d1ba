"""The builds facet: what the first builds find."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from corten.engine import build_machinery
from corten.engine.builds import BuildService


async def test_builds_that_come_together_open_the_cache_once(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0

    class Machinery:
        @classmethod
        async def open(cls, core: object) -> Machinery:
            nonlocal opened
            opened += 1
            await asyncio.sleep(0)
            return cls()

        async def usage(self) -> list[object]:
            return [self]

    monkeypatch.setattr(build_machinery, "Machinery", Machinery)
    core: Any = SimpleNamespace(paths=SimpleNamespace(build=tmp_path, build_history=tmp_path))
    builds = BuildService(core)
    found: list[Any] = await asyncio.gather(*(builds.usage() for _ in range(3)))
    assert opened == 1 and found[0] == found[1] == found[2]
