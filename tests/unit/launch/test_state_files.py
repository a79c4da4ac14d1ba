"""What a monitor writes by hand is what the engine reads by msgspec."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import IntegrityError
from corten.launch import messages
from corten.launch.exit_status import ExitStatus, read_exit, read_state
from corten.launch.state_files import process_start_time, write_exit, write_state


@pytest.fixture
def directory(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@given(error=st.text(), code=st.integers(0, 255), signal=st.integers(0, 64), oom=st.booleans())
def test_exit_status(tmp_path_factory, error, code, signal, oom):
    path = tmp_path_factory.mktemp("run")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_exit(fd, (messages.EXITED, code, signal, oom, 1_700_000_000_123_456_789, error))
    finally:
        os.close(fd)
    assert read_exit(path) == ExitStatus(
        code=code, signal=signal, oom_killed=oom, finished_at_ns=1_700_000_000_123_456_789, error=error
    )
    assert os.listdir(path) == ["exit.json"]


def test_state(tmp_path, directory):
    write_state(directory, "abc", os.getpid(), 5, 77)
    state = read_state(tmp_path)
    assert (state.container_id, state.pid, state.started_at_ns, state.monitor_pid) == (
        "abc",
        os.getpid(),
        5,
        77,
    )
    assert state.pid_start_time == process_start_time(os.getpid()) > 0


def test_nothing_written_reads_as_nothing(tmp_path):
    assert read_exit(tmp_path) is None
    assert read_state(tmp_path) is None


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "exit.json").write_text('{"code": "')
    with pytest.raises(IntegrityError, match=r"exit\.json is not what a monitor writes"):
        read_exit(tmp_path)


def test_where_nothing_can_be_written(tmp_path):
    """A full disk (here: a directory that is gone) must not keep a monitor from telling its engine."""
    (tmp_path / "run").mkdir()
    fd = os.open(tmp_path / "run", os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "run").rmdir()
    write_exit(fd, (messages.EXITED, 0, 0, False, 1, ""))
    write_state(fd, "abc", os.getpid(), 5, 77)
    os.close(fd)
    assert list(tmp_path.iterdir()) == []
