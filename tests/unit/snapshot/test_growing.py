"""Reading a blob that is being downloaded."""

from __future__ import annotations

from pathlib import Path

from corten.snapshot.growing import GrowingReader


def test_the_file_may_come_after_the_reader(tmp_path: Path) -> None:
    """A download that waits for a free slot has made no file yet."""
    partial, final = tmp_path / "partial", tmp_path / "final"
    steps = iter([(3, False), (6, False), (6, True)])

    def ask(offset: int) -> tuple[int, bool]:
        have, complete = next(steps)
        if not partial.exists():
            partial.write_bytes(b"")
        partial.write_bytes(b"abcdef"[:have])
        return have, complete

    reader = GrowingReader(str(partial), str(final), ask)
    assert [reader.read(10) for _ in range(3)] == [b"abc", b"def", b""]
    reader.close()


def test_under_its_final_name(tmp_path: Path) -> None:
    final = tmp_path / "final"
    final.write_bytes(b"abc")
    reader = GrowingReader(str(tmp_path / "partial"), str(final), lambda offset: (3, True))
    assert [reader.read(10) for _ in range(2)] == [b"abc", b""]
    reader.close()


def test_closed_before_anything_came(tmp_path: Path) -> None:
    GrowingReader(str(tmp_path / "partial"), str(tmp_path / "final"), lambda offset: (0, False)).close()
