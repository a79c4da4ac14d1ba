"""What all tests share: coroutine tests, skips by privilege, and directories of their own."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") is not None and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip("needs root"))
        if item.get_closest_marker("rootless") is not None and os.geteuid() == 0:
            item.add_marker(pytest.mark.skip("is for an ordinary user"))


@pytest.fixture
def loop_runner() -> Iterator[asyncio.Runner]:
    """The event loop of one test: its asynchronous fixtures and its body run in it."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """`async def test_…` runs in the loop of `loop_runner`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    runner = pyfuncitem.funcargs.get("loop_runner")
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if isinstance(runner, asyncio.Runner):
        runner.run(pyfuncitem.obj(**arguments))
    else:
        asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A directory with a short path (a unix socket's name holds 107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
