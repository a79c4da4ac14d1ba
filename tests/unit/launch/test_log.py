"""The log: what is written comes back, whatever the records' boundaries, the query and the accidents."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.launch.log import LogQuery, LogReader
from corten.launch.log_format import OVERHEAD, STDERR, STDOUT, LogWriter

SECOND = 1_000_000_000


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""

    class Clock:
        ns = 1_700_000_000 * SECOND

    monkeypatch.setattr("corten.launch.log_format.time.time_ns", lambda: Clock.ns)
    return Clock


def write(path, *records, **options):
    writer = LogWriter(str(path), **options)
    for stream, data in records:
        writer.write(stream, data)
    writer.close()


def read(path, **query):
    return b"".join(LogReader(path).read(LogQuery(**query)))


def frames(data):
    out = []
    while data:
        length = int.from_bytes(data[4:8], "big")
        assert data[1:4] == b"\0\0\0"
        out.append((data[0], data[8 : 8 + length]))
        assert len(out[-1][1]) == length
        data = data[8 + length :]
    return out


def test_frames_join_neighbours_of_one_stream_and_keep_the_order(tmp_path):
    write(tmp_path / "log", (STDOUT, b"a\n"), (STDOUT, b"b\n"), (STDERR, b"e\n"), (STDOUT, b"c\n"))
    assert frames(read(tmp_path / "log")) == [(1, b"a\nb\n"), (2, b"e\n"), (1, b"c\n")]


def test_streams_are_chosen(tmp_path):
    write(tmp_path / "log", (STDOUT, b"a\n"), (STDERR, b"e\n"), (STDOUT, b"b\n"))
    assert frames(read(tmp_path / "log", stderr=False)) == [(1, b"a\nb\n")]
    assert frames(read(tmp_path / "log", stdout=False)) == [(2, b"e\n")]
    assert read(tmp_path / "log", mux=False) == b"a\ne\nb\n"


def test_no_log_reads_as_nothing(tmp_path):
    assert read(tmp_path / "log") == b""
    assert read(tmp_path / "log", tail=3) == b""
    assert LogReader(tmp_path / "log").files() == []


def test_each_line_has_the_time_of_its_beginning_once(tmp_path, clock):
    writer = LogWriter(str(tmp_path / "log"))
    writer.write(STDOUT, b"one\ntw")
    clock.ns += 5
    writer.write(STDOUT, b"o\nthree")
    clock.ns += 5
    writer.write(STDOUT, b"\n")
    clock.ns += 5
    writer.write(STDOUT, b"four\n")
    writer.close()
    stamp = b"2023-11-14T22:13:20.%09dZ "
    assert read(tmp_path / "log", mux=False, timestamps=True) == (
        stamp % 0 + b"one\n" + stamp % 0 + b"two\n" + stamp % 5 + b"three\n" + stamp % 15 + b"four\n"
    )


def test_streams_have_lines_of_their_own(tmp_path, clock):
    write(tmp_path / "log", (STDOUT, b"ou"), (STDERR, b"err\n"), (STDOUT, b"t\n"))
    lines = frames(read(tmp_path / "log", timestamps=True))
    assert [re.sub(rb"\d{4}-\S+Z ", b"@", data) for _stream, data in lines] == [b"@ou", b"@err\n", b"t\n"]


def test_since_and_until_go_by_the_beginning_of_a_line(tmp_path, clock):
    start = clock.ns
    writer = LogWriter(str(tmp_path / "log"))
    for data in (b"a\nb", b"b\nc\n", b"d\n", b"e\n"):
        writer.write(STDOUT, data)
        clock.ns += SECOND
    writer.close()
    assert read(tmp_path / "log", mux=False, since_ns=start + SECOND) == b"c\nd\ne\n"
    assert read(tmp_path / "log", mux=False, since_ns=start + 2 * SECOND) == b"d\ne\n"
    assert read(tmp_path / "log", mux=False, until_ns=start + 2 * SECOND) == b"a\nbb\nc\nd\n"
    assert read(tmp_path / "log", mux=False, since_ns=start + 1, until_ns=start + SECOND) == b"c\n"


@pytest.mark.parametrize("tail", [0, 1, 2, 3, 4, 5, 99])
def test_tail_counts_lines_not_records(tmp_path, tail):
    write(tmp_path / "log", (STDOUT, b"1\n2\n"), (STDOUT, b"3"), (STDOUT, b"3\n4\n5"))
    lines = [b"1\n", b"2\n", b"33\n", b"4\n", b"5"]
    assert read(tmp_path / "log", mux=False, tail=tail) == b"".join(lines[len(lines) - min(tail, 5) :])


def test_tail_does_not_begin_inside_the_other_streams_line(tmp_path):
    write(tmp_path / "log", (STDERR, b"begun "), (STDOUT, b"1\n2\n"), (STDERR, b"ended\nlast\n"))
    assert read(tmp_path / "log", mux=False, tail=2) == b"2\nlast\n"


def test_tail_reads_through_rotated_files(tmp_path):
    write(tmp_path / "log", *[(STDOUT, b"%03d\n" % n) for n in range(100)], max_size=300, max_file=20)
    assert len(LogReader(tmp_path / "log").files()) > 5
    assert read(tmp_path / "log", mux=False, tail=42) == b"".join(b"%03d\n" % n for n in range(58, 100))


def test_rotation_keeps_only_so_many_files_of_only_that_size(tmp_path):
    write(tmp_path / "log", *[(STDOUT, b"%03d\n" % n) for n in range(100)], max_size=300, max_file=3)
    files = LogReader(tmp_path / "log").files()
    assert [file.name for file in files] == ["log.2", "log.1", "log"]
    assert all(file.stat().st_size <= 300 for file in files)
    kept = read(tmp_path / "log", mux=False)
    assert b"".join(b"%03d\n" % n for n in range(100)).endswith(kept)
    assert len(kept) > 80


def test_one_file_is_begun_anew_when_it_is_full(tmp_path):
    write(tmp_path / "log", *[(STDOUT, b"%03d\n" % n) for n in range(100)], max_size=300, max_file=1)
    assert [file.name for file in LogReader(tmp_path / "log").files()] == ["log"]
    assert read(tmp_path / "log", mux=False).endswith(b"099\n")


@pytest.mark.parametrize("cut", range(1, OVERHEAD + 5))
def test_a_torn_record_is_left_out_and_mended_by_the_next_writer(tmp_path, cut):
    write(tmp_path / "log", (STDOUT, b"whole\n"), (STDOUT, b"torn\n"))
    os.truncate(tmp_path / "log", (tmp_path / "log").stat().st_size - cut)
    assert read(tmp_path / "log", mux=False) == b"whole\n"
    assert read(tmp_path / "log", mux=False, tail=1) == b"whole\n"
    write(tmp_path / "log", (STDOUT, b"next\n"))
    assert read(tmp_path / "log", mux=False) == b"whole\nnext\n"
    assert read(tmp_path / "log", mux=False, tail=1) == b"next\n"


def test_a_record_larger_than_a_block_comes_back_whole(tmp_path):
    data = os.urandom(5 << 20)
    write(tmp_path / "log", (STDOUT, b"x\n"), (STDERR, data), (STDOUT, b"y\n"))
    assert frames(read(tmp_path / "log"))[1] == (2, data)


def test_a_full_disk_costs_output_but_says_so(tmp_path, monkeypatch):
    writer = LogWriter(str(tmp_path / "log"))
    writer.write(STDOUT, b"before\n")
    real = os.writev

    def full(fd, parts):
        real(fd, [b"".join(parts)[:20]])  # what still fitted
        return 20

    monkeypatch.setattr("corten.launch.log_format.os.writev", full)
    writer.write(STDOUT, b"lost\n")
    writer.write(STDOUT, b"lost too\n")
    monkeypatch.setattr("corten.launch.log_format.os.writev", real)
    writer.write(STDOUT, b"after\n")
    writer.close()
    text = read(tmp_path / "log", mux=False)
    assert text == b"before\n[corten: 14 bytes of output could not be logged]\nafter\n"


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from([STDOUT, STDERR]), st.text("ab\n", min_size=1).map(str.encode))
    ),
    tail=st.integers(0, 12),
    max_size=st.sampled_from([0, 60, 200]),
)
def test_any_pieces_come_back(tmp_path_factory, pieces, tail, max_size):
    path = tmp_path_factory.mktemp("log") / "log"
    write(path, *pieces, max_size=max_size, max_file=1000)
    for stream, wanted in ((STDOUT, {"stderr": False}), (STDERR, {"stdout": False})):
        whole = b"".join(data for which, data in pieces if which == stream)
        assert read(path, mux=False, **wanted) == whole
        lines = whole.splitlines(keepends=True)
        assert read(path, mux=False, tail=tail, **wanted) == b"".join(
            lines[len(lines) - min(tail, len(lines)) :]
        )
        stamped = read(path, mux=False, timestamps=True, **wanted)
        assert re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", b"", stamped) == whole
        assert stamped.count(b"Z ") == len(lines)


def test_follow_gives_what_comes_across_rotations_and_ends(tmp_path):
    async def scenario():
        path = tmp_path / "log"
        writer = LogWriter(str(path), max_size=2000, max_file=100)
        writer.write(STDOUT, b"0000\n")
        ended = asyncio.Event()
        got = []

        async def reader():
            async for chunk in LogReader(path).follow(LogQuery(mux=False), ended):
                got.append(chunk)

        task = asyncio.create_task(reader())
        for n in range(1, 500):
            writer.write(STDOUT, b"%04d\n" % n)
            if n % 50 == 0:
                await asyncio.sleep(0.005)
        begin = time.monotonic()
        while not got or not got[-1].endswith(b"0499\n"):
            assert time.monotonic() - begin < 5, "the follower does not keep up"
            await asyncio.sleep(0.005)
        writer.write(STDOUT, b"last\n")
        ended.set()
        await asyncio.wait_for(task, 5)
        writer.close()
        return b"".join(got)

    assert asyncio.run(scenario()) == b"".join(b"%04d\n" % n for n in range(500)) + b"last\n"


def test_follow_ends_at_once_when_nothing_runs(tmp_path):
    async def scenario():
        write(tmp_path / "log", (STDOUT, b"a\nb\n"))
        ended = asyncio.Event()
        ended.set()
        return [chunk async for chunk in LogReader(tmp_path / "log").follow(LogQuery(tail=1), ended)]

    assert frames(b"".join(asyncio.run(scenario()))) == [(1, b"b\n")]


@pytest.mark.parametrize("is_followed", [False, True])
def test_what_was_open_is_read_though_the_log_is_removed(tmp_path, is_followed):
    """docker-py's run(remove=True) asks for the log, removes the container, and reads the answer then."""

    async def scenario():
        directory = tmp_path / "container"
        directory.mkdir()
        write(directory / "log", (STDOUT, b"a\nb\n"))
        ended = asyncio.Event()
        reader = LogReader(directory / "log")
        if is_followed:
            pieces = reader.follow(LogQuery(mux=False), ended)
            assert await anext(pieces) == b""
        else:
            read = reader.read(LogQuery(mux=False))
            assert next(read) == b""
        shutil.rmtree(directory)
        ended.set()
        return b"".join([piece async for piece in pieces] if is_followed else read)

    assert asyncio.run(scenario()) == b"a\nb\n"


def test_a_log_that_is_removed_before_it_is_followed_has_nothing(tmp_path):
    async def scenario():
        ended = asyncio.Event()
        ended.set()
        reader = LogReader(tmp_path / "gone" / "log")
        return [piece async for piece in reader.follow(LogQuery(mux=False), ended)]

    assert b"".join(asyncio.run(scenario())) == b""
