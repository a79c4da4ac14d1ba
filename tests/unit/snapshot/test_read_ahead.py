"""Pieces that are read by a thread."""

from __future__ import annotations

import threading

import pytest

from corten.errors import ArchiveError
from corten.snapshot.read_ahead import ReadAhead


def test_pieces_in_order_to_the_end() -> None:
    pieces = [b"%d" % number for number in range(50)]
    source = iter([*pieces, b""])
    with ReadAhead(lambda size: next(source)) as ahead:
        found = []
        while piece := ahead.read():
            found.append(piece)
        assert found == pieces
        assert ahead.read() == b""


def test_an_error_comes_where_it_stood() -> None:
    source = iter([b"a", b"b"])

    def read(size: int) -> bytes:
        try:
            return next(source)
        except StopIteration:
            raise ArchiveError("damaged") from None

    with ReadAhead(read) as ahead:
        assert ahead.read() + ahead.read() == b"ab"
        for _ in range(2):
            with pytest.raises(ArchiveError, match="damaged"):
                ahead.read()


def test_leaving_early_ends_the_thread_and_reads_no_more() -> None:
    calls = 0

    def read(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return b"x"

    with pytest.raises(ValueError, match="bad layer"), ReadAhead(read) as ahead:
        ahead.read()
        raise ValueError("bad layer")
    assert calls <= 4
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}
