"""The HTTP codec: whatever way the network cuts the bytes, the events are the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.client import http

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5\r\n{"a":\r\n3;ext=1\r\n 1}\r\n0\r\nTrailer: x\r\n\r\n'
)
SIZED = b"HTTP/1.1 201 Created\r\nContent-Length: 11\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello world"
UPGRADE = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01\0\0\0\0\0\0\x02hi"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED
UNTIL_EOF = b"HTTP/1.0 200 OK\r\n\r\nthe rest"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def run(parts: list[bytes], method: str = "GET", upgrade: bool = False) -> dict[str, object]:
    decoder = http.ResponseDecoder(method, upgrade)
    events: list[http.Event] = []
    for part in parts:
        events += decoder.feed(part)
    ended = any(isinstance(event, http.End | http.Upgraded) for event in events)
    events += [] if ended else decoder.eof()
    head = next(event for event in events if isinstance(event, http.Head))
    ends = [event.keep_alive for event in events if isinstance(event, http.End)]
    return {
        "status": head.status,
        "headers": head.headers,
        "body": b"".join(event.data for event in events if isinstance(event, http.Data)),
        "raw": b"".join(event.data for event in events if isinstance(event, http.Upgraded)),
        "end": ends,
    }


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize(
    ("message", "status", "body", "raw", "keep_alive"),
    [
        (CHUNKED, 200, b'{"a": 1}', b"", [True]),
        (SIZED, 201, b"hello world", b"", [True]),
        (CONTINUED, 201, b"hello world", b"", [True]),
        (UPGRADE, 101, b"", b"\x01\0\0\0\0\0\0\x02hi", []),
        (UNTIL_EOF, 200, b"the rest", b"", [False]),
        (EMPTY, 204, b"", b"", [True]),
    ],
)
def test_messages(message: bytes, status: int, body: bytes, raw: bytes, keep_alive: list[bool]) -> None:
    seen = run([message])
    assert (seen["status"], seen["body"], seen["raw"], seen["end"]) == (status, body, raw, keep_alive)


@given(
    st.sampled_from([CHUNKED, SIZED, CONTINUED, UPGRADE, UNTIL_EOF, EMPTY]),
    st.lists(st.integers(0), max_size=8),
)
def test_cuts_do_not_matter(message: bytes, places: list[int]) -> None:
    assert run(cut(message, places)) == run([message])


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(0), max_size=10))
def test_what_is_encoded_as_chunks_is_decoded(pieces: list[bytes], places: list[int]) -> None:
    message = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    message += b"".join(http.encode_chunk(piece) for piece in pieces) + http.LAST_CHUNK
    assert run(cut(message, places))["body"] == b"".join(pieces)


@given(st.binary(max_size=300))
def test_garbage_is_told_and_never_a_crash(data: bytes) -> None:
    decoder = http.ResponseDecoder("GET")
    try:
        decoder.feed(data)
        decoder.eof()
    except http.ProtocolError:
        pass


def test_head_has_no_body_whatever_its_headers_say() -> None:
    decoder = http.ResponseDecoder("HEAD")
    head, end = decoder.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    assert isinstance(head, http.Head) and isinstance(end, http.End) and end.keep_alive


def test_repeated_headers_are_joined() -> None:
    assert run([SIZED])["headers"] == {"content-length": "11", "x-a": "1, 2"}


def test_a_raw_stream_without_101_counts_only_when_it_was_asked_for() -> None:
    message = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nraw"
    assert run([message], upgrade=True)["raw"] == b"raw"
    assert run([message])["body"] == b"raw"


def test_connection_close_is_not_kept() -> None:
    assert run([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"])["end"] == [False]


@pytest.mark.parametrize(
    "message",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
    ],
)
def test_broken_answers_are_told(message: bytes) -> None:
    with pytest.raises(http.ProtocolError):
        http.ResponseDecoder("GET").feed(message)


@pytest.mark.parametrize("message", [SIZED[:-1], CHUNKED[:-3], b"", b"HTTP/1.1 200"])
def test_an_end_in_the_middle_is_told(message: bytes) -> None:
    decoder = http.ResponseDecoder("GET")
    decoder.feed(message)
    with pytest.raises(http.ProtocolError):
        decoder.eof()


def test_requests() -> None:
    head = http.encode_request("POST", "/a", headers={"X": "1"}, content_length=2)
    assert head == b"POST /a HTTP/1.1\r\nHost: corten\r\nX: 1\r\nContent-Length: 2\r\n\r\n"
    assert b"Transfer-Encoding: chunked" in http.encode_request("PUT", "/a", chunked=True)
    assert b"Content-Length: 0" in http.encode_request("POST", "/a")
    with pytest.raises(http.ProtocolError):
        http.encode_request("GET", "/", headers={"X": "1\r\nEvil: 1"})


@given(st.text())
def test_quoting_is_that_of_urllib(text: str) -> None:
    from urllib.parse import quote

    try:
        expected = quote(text, safe="")
    except UnicodeEncodeError:
        return
    assert http.quote(text) == expected


def test_targets() -> None:
    assert http.target("/x", {"a": "1 2", "names": ["p", "q/r"]}) == "/x?a=1%202&names=p&names=q%2Fr"
    assert http.target("/x", {}) == "/x"
