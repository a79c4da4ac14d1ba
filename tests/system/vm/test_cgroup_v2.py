"""The parts of the suite that touch the kernel, once more where it has only cgroup v2 and is older (6.1)."""

from __future__ import annotations

import os

import pytest

from . import image, machine

# What runs inside, and how many tests of it must pass at least: a suite that collects nothing proves nothing.
SUITES = {
    "tests/contract/test_cgroup.py": 40,
    "tests/system/erofs/test_overlays.py": 5,  # layers by loop devices
    "tests/system/erofs/test_image_volumes.py": 5,
    "tests/system/confinement": 20,
    "tests/system/runtime/test_isolation.py": 15,
    "tests/system/runtime/test_mounts.py": 5,
    "tests/system/runtime/test_spawn.py": 5,
    "tests/system/engine/test_limits.py": 1,
}
pytestmark = [
    pytest.mark.vm,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("vm"),
    pytest.mark.skipif("CORTEN_TEST_VM" in os.environ, reason="inside of the virtual machine"),
]


@pytest.fixture(scope="module")
def results() -> machine.Results:
    try:
        return machine.run(list(SUITES))
    except image.CannotBuild as error:
        pytest.skip(f"no virtual machine: {error}")


def test_the_machine_has_nothing_but_cgroup_v2(results: machine.Results) -> None:
    assert results.kernel.startswith("6.1.")
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(results.controllers)


@pytest.mark.parametrize("path", SUITES)
def test_suite_passes_on_cgroup_v2(results: machine.Results, path: str) -> None:
    cases = results.of(path)
    failed = [f"{case.name}\n{case.text}" for case in cases if case.outcome == "failed"]
    assert not failed, "\n\n".join(failed)[-8000:]
    passed = [case for case in cases if case.outcome == "passed"]
    assert len(passed) >= SUITES[path], results.log[-3000:]
