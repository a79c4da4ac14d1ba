"""Clones that share memory with their parent: whatever happens in the child, the parent goes on; or ends."""

from __future__ import annotations

import marshal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from corten.oci import runtime_spec as s
from corten.runtime.plan import Directory, compile_plan

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("corten_only")]
WORKER = Path(__file__).with_name("vfork_worker.py")
SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture
def plan(bundle) -> Any:
    bundle.write()
    spec = s.decode((bundle.directory / "config.json").read_bytes())
    return compile_plan(
        spec,
        root=Directory(path=str(bundle.rootfs)),
        container_id=bundle.id,
        bundle=str(bundle.directory),
    )


def worker(plan: Any, trial: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(WORKER), str(SOURCE), trial],
        input=marshal.dumps(plan.to_primitive()),
        capture_output=True,
        timeout=120,
        check=False,
    )


def answers(plan: Any, trial: str) -> Any:
    done = worker(plan, trial)
    assert done.returncode == 0, done.stderr.decode()
    return marshal.loads(done.stdout)


def test_whatever_the_child_does_the_parent_goes_on(plan):
    result = answers(plan, "basics")
    assert result == {
        "usable": True,
        "plain": 0,
        "raises": [1, 1, 1],
        "recursion": 1,
        "deep": 0,
        "failed raises": 1,
        "failed": 1,
        "told": [2],
        "none": 1,
        "signalled": 0,
        "seen": [],
        "other user": 0,
        "dumpable": 1,
        "collects": True,
        "blocked": [],
    }


def test_a_failure_at_every_step_then_a_thousand_more(plan):
    assert plan.settings["shares"] is True
    result = answers(plan, "endurance")
    for messages in result["messages"]:
        assert [name for name, _text in messages] == [operation[0] for operation in plan.child]
        for name, text in messages:
            assert text.startswith(f"cannot {name.replace('_', ' ')}"), text
    assert result["again"] is True
    assert result["statuses"] == [0]
    assert result["fds"] == 0
    assert result["pages"] < 64


def test_a_child_killed_within_python_ends_the_parent(plan):
    done = worker(plan, "killed")
    assert done.returncode == 70
    assert b"was killed while it shared" in done.stderr
    assert done.stdout == b""


def test_forks_where_sharing_is_not_known_to_be_safe(plan):
    result = answers(plan, "unusable")
    assert result == {
        "before": True,
        "switched off": False,
        "profiled": False,
        "threads": False,
        "forked": 0,
    }
