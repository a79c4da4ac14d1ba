"""A cgroup of the test's own, and children that enter it as a container's first process does."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest

from corten.linux.namespace import clone3
from corten.oci.runtime_spec import Resources
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.compile import compile_cgroup
from corten.runtime.cgroup.control import Cgroup
from corten.runtime.cgroup.layout import Layout, detect


class Group:
    """`make` sets up the cgroup, `spawn` runs a function in it; all goes with the test."""

    def __init__(self) -> None:
        self.layout: Layout = detect()
        self.parent = f"/corten-test-{uuid.uuid4().hex[:12]}"
        self.name = self.parent + "/one"
        self.plan: apply.CgroupPlan | None = None
        self.children: list[int] = []

    def make(self, resources: Resources | None = None) -> Cgroup:
        self.plan = compile_cgroup(self.name, resources, layout=self.layout)
        apply.create(self.plan)
        return Cgroup.open(self.name, layout=self.layout)

    def spawn(self, function: Callable[[], int]) -> int:
        assert self.plan is not None
        entry = apply.open_entry(self.plan)
        pid, pidfd = clone3(0, cgroup=entry[1])
        if pid == 0:
            status = 97
            try:
                apply.enter(entry)
                status = function()
            finally:
                os._exit(status)
        os.close(pidfd)
        apply.close_entry(entry)
        self.children.append(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Its exit status, negative for a signal."""
        self.children.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self) -> None:
        if self.plan is not None:
            if self.children:
                apply.kill(self.plan) if apply.processes(self.plan) else None
            for pid in self.children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                os.waitpid(pid, 0)
            apply.remove(self.plan)
        for hierarchy in self.layout.hierarchies:
            apply.remove_directory(hierarchy.directory(self.parent))


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    yield made
    made.close()
