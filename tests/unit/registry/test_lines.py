from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from corten.registry import lines
from corten.registry.lines import LineFile


def test_lines_follow_a_file_that_was_renamed(tmp_path: Path) -> None:
    file = LineFile(str(tmp_path / "log"), rotate_bytes=1 << 20)
    file.append(b"one\n")
    (tmp_path / "log").rename(tmp_path / "old")
    file.append(b"two\n")
    file.close()
    assert (tmp_path / "old").read_bytes() == b"one\n"
    assert (tmp_path / "log").read_bytes() == b"two\n"


def test_a_line_is_never_cut(tmp_path: Path) -> None:
    file = LineFile(str(tmp_path / "log"), rotate_bytes=10, keep=0)
    for line in (b"1234567\n", b"a line that is larger than a file\n", b"x\n"):
        file.append(line)
    file.close()
    texts = [path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.name != "log"]
    assert texts == [b"1234567\n", b"a line that is larger than a file\n"]
    assert (tmp_path / "log").read_bytes() == b"x\n"


def test_what_was_half_written_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = LineFile(str(tmp_path / "log"), rotate_bytes=1 << 20)
    file.append(b"one\n")
    write = os.write
    monkeypatch.setattr(lines.os, "write", lambda fd, line: write(fd, line[:2]))
    with pytest.raises(OSError) as found:
        file.append(b"two\n")
    assert found.value.errno == errno.ENOSPC
    monkeypatch.undo()
    file.append(b"three\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"one\nthree\n"


def _write(path: str, name: str) -> None:
    file = LineFile(path, rotate_bytes=2000, keep=0)
    for number in range(200):
        file.append(f"{name} {number}\n".encode())
    file.close()


def test_several_processes_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(str(tmp_path / "log"), name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = [line for path in sorted(tmp_path.glob("log*")) for line in path.read_text().splitlines()]
    assert sorted(found) == sorted(f"{name} {number}" for name in "abc" for number in range(200))
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())


def test_only_what_was_rotated_is_removed(tmp_path: Path) -> None:
    (tmp_path / "log-copyZ").write_bytes(b"somebody's own")
    file = LineFile(str(tmp_path / "log"), rotate_bytes=10, keep=1)
    for _ in range(4):
        file.append(b"12345678\n")
    file.close()
    assert (tmp_path / "log-copyZ").exists()
    assert len(list(tmp_path.iterdir())) == 3
