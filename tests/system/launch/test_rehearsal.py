"""What the launcher does to warm up: it works, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from corten.launch.client import Launcher
from corten.launch.rehearsal import practise, rehearse
from corten.launch.rehearsal_plan import rehearsal_plan
from corten.runtime import execute
from tests.system.launch.harness import open_fds, until


@pytest.fixture(autouse=True)
def child_signal():
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


def mounts():
    with open("/proc/self/mountinfo") as file:
        return file.read()


def children():
    """Of this process, in which other tests may have left some."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(file.read().split())


@pytest.mark.root
def test_a_container_to_practise_with(tmp_path):
    plan = rehearsal_plan(tmp_path / "root").to_primitive()
    before, others = (open_fds(), mounts()), children()
    for _ in range(2):
        assert practise(plan, execute)
    assert (open_fds(), mounts()) == before
    assert children() <= others


@pytest.mark.root
def test_the_launcher_practises_at_its_start(tmp_path):
    async def scenario():
        launcher = await Launcher.start(run_dir=tmp_path)
        try:
            await until(lambda: (tmp_path / "rehearsal").is_dir())
        finally:
            await launcher.close()

    asyncio.run(scenario())


def test_the_life_of_a_monitor_in_one_process(tmp_path):
    rehearse(str(tmp_path / "once"))
    before = open_fds()
    rehearse(str(tmp_path / "again"))
    assert open_fds() == before
    assert list(tmp_path.iterdir()) == []
