"""Pause, resume and kill of everything in a cgroup."""

from __future__ import annotations

import mmap
import os
import signal
import time

import pytest

from corten.runtime.cgroup import apply

from .conftest import Group

pytestmark = pytest.mark.root


def counter(shared: mmap.mmap) -> int:
    while True:
        value = int.from_bytes(shared[:8], "little")
        shared[:8] = (value + 1).to_bytes(8, "little")
        time.sleep(0.001)


def test_a_frozen_process_stands_still_and_goes_on(group: Group) -> None:
    cgroup = group.make()
    shared = mmap.mmap(-1, 4096)
    group.spawn(lambda: counter(shared))

    def moves() -> bool:
        before = shared[:8]
        time.sleep(0.1)
        return shared[:8] != before

    while shared[:8] == bytes(8):
        time.sleep(0.005)
    cgroup.freeze()
    assert cgroup.frozen
    assert not moves()
    cgroup.thaw()
    assert not cgroup.frozen
    assert moves()


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_ends_every_process_also_frozen_ones(group: Group, frozen: bool) -> None:
    cgroup = group.make()

    def family() -> int:
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(60)
        time.sleep(60)
        return 0

    pid = group.spawn(family)
    while len(cgroup.pids()) < 4:
        time.sleep(0.005)
    if frozen:
        cgroup.freeze()
    cgroup.kill()
    assert group.wait(pid) == -signal.SIGKILL
    cgroup.delete()
    assert not any(os.path.exists(directory) for directory in cgroup.directories)


def test_a_child_is_in_the_cgroup_in_every_hierarchy_before_it_runs(group: Group) -> None:
    cgroup = group.make()
    expected = set(cgroup.directories)

    def where() -> int:
        mine = set()
        for directory in expected:
            with open(directory + "/cgroup.procs", encoding="ascii") as file:
                if str(os.getpid()) in file.read().split():
                    mine.add(directory)
        return 0 if mine == expected else 1

    assert group.wait(group.spawn(where)) == 0
    assert group.plan is not None
    apply.remove(group.plan)
