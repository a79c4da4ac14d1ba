"""Docker's multiplexed stream, cut anywhere."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from corten.client.muxstream import Demultiplexer


def frame(stream: int, data: bytes) -> bytes:
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=10),
    st.lists(st.integers(0), max_size=12),
)
def test_every_byte_comes_to_its_stream_in_order(frames: list[tuple[int, bytes]], places: list[int]) -> None:
    data = b"".join(frame(stream, piece) for stream, piece in frames)
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    demultiplexer = Demultiplexer()
    seen = [
        piece for start, end in itertools.pairwise(edges) for piece in demultiplexer.feed(data[start:end])
    ]
    for stream in (1, 2):
        expected = b"".join(piece for number, piece in frames if number == stream)
        assert b"".join(piece for number, piece in seen if number == stream) == expected


def test_many_small_frames_become_one_write() -> None:
    data = b"".join(frame(1, b"line\n") for _ in range(1000)) + frame(2, b"error\n")
    assert Demultiplexer().feed(data) == [(1, b"line\n" * 1000), (2, b"error\n")]
