"""Hooks: the state on standard input, time limits, failures."""

from __future__ import annotations

import os

import pytest

from corten.errors import StartError
from corten.runtime.execute_hooks import run, run_leniently


def shell(script: str, timeout: int = 0):
    return ("/bin/sh", ("sh", "-c", script), (("X", "y"),), timeout)


def test_state_and_environment(tmp_path):
    run((shell(f"cat > {tmp_path}/state; echo $X$HOME > {tmp_path}/env"),), b'{"pid":1}')
    assert (tmp_path / "state").read_bytes() == b'{"pid":1}'
    assert (tmp_path / "env").read_text() == "y\n"


def test_failure_ends_the_row(tmp_path):
    with pytest.raises(StartError) as caught:
        run((shell("echo why >&2; exit 3"), shell(f"touch {tmp_path}/second")), b"")
    assert "exit status 3: why" in caught.value.message
    assert not (tmp_path / "second").exists()


def test_failures_after_the_start_are_warnings(tmp_path):
    assert len(run_leniently((shell("exit 1"), shell(f"touch {tmp_path}/second")), b"")) == 1
    assert (tmp_path / "second").exists()


def test_time_limit():
    with pytest.raises(StartError) as caught:
        run((shell("sleep 30", 1),), b"")
    assert "within 1 second" in caught.value.message


def test_missing_program():
    with pytest.raises(StartError) as caught:
        run((("/no/such", (), (), 0),), b"")
    assert "/no/such" in caught.value.message


def test_leaves_no_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    run((shell("yes | head -c 200000"),), b"x")
    assert len(os.listdir("/proc/self/fd")) == before
