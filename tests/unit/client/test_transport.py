"""Both transports against a server that plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from corten import errors
from corten.client.address import Address
from corten.client.async_transport import AsyncTransport
from corten.client.transport import Transport
from tests.unit.client.fake_server import FakeServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def request(kind: str, path: Path, *calls: dict[str, Any]) -> list[Any]:
    """Makes the same calls by the blocking or by the asyncio transport; each gives its body or its error."""
    if kind == "sync":
        transport = Transport(Address(path=str(path)))
        results: list[Any] = []
        for call in calls:
            try:
                results.append(transport.request(**call).read())
            except errors.CortenError as error:
                results.append(error)
        transport.close()
        return results

    async def main() -> list[Any]:
        transport = AsyncTransport(Address(path=str(path)))
        results: list[Any] = []
        for call in calls:
            if "body" in call and not isinstance(call["body"], bytes):
                call["body"] = _asynchronous(call["body"])
            try:
                results.append(await (await transport.request(**call)).read())
            except errors.CortenError as error:
                results.append(error)
        await transport.aclose()
        return results

    return asyncio.run(main())


async def _asynchronous(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("kind", ["sync", "async"])
class TestTransport:
    def test_a_connection_is_used_again(self, kind: str, short_tmp: Path) -> None:
        server = FakeServer(short_tmp / "s", [[OK, OK]])
        assert request(
            kind,
            server.path,
            {"method": "GET", "path": "/a"},
            {"method": "POST", "path": "/b", "json": {"x": 1}},
        ) == [b"{}", b"{}"]
        server.close()
        assert server.requests[0].startswith(b"GET /a HTTP/1.1\r\n")
        assert server.requests[1].endswith(b'\r\n\r\n{"x":1}')

    def test_one_that_was_closed_while_idle_is_replaced(self, kind: str, short_tmp: Path) -> None:
        server = FakeServer(short_tmp / "s", [[OK], [OK]])
        call = {"method": "GET", "path": "/a"}
        assert request(kind, server.path, call, dict(call)) == [b"{}", b"{}"]
        server.close()

    def test_an_answer_that_breaks_off_is_not_asked_for_again(self, kind: str, short_tmp: Path) -> None:
        server = FakeServer(short_tmp / "s", [[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]])
        (result,) = request(kind, server.path, {"method": "POST", "path": "/a"})
        server.close()
        assert isinstance(result, errors.Unavailable)
        assert "in the middle" in result.message

    def test_a_body_in_pieces_goes_in_chunks(self, kind: str, short_tmp: Path) -> None:
        server = FakeServer(short_tmp / "s", [[OK]])
        request(kind, server.path, {"method": "PUT", "path": "/a", "body": [b"abc", b"", b"de"]})
        server.close()
        assert server.requests[0].endswith(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    @pytest.mark.parametrize(
        ("status", "header", "expected"),
        [
            (400, b"", errors.InvalidArgument),
            (400, b"X-Corten-Exit-Code: 127\r\n", errors.CommandNotFound),
            (400, b"X-Corten-Exit-Code: 126\r\n", errors.CommandNotExecutable),
            (404, b"X-Corten-Exit-Code: 1\r\n", errors.NotFound),
            (409, b"", errors.Conflict),
            (500, b"X-Corten-Exit-Code: 125\r\n", errors.StartError),
            (500, b"", errors.CortenError),
            (501, b"", errors.Unsupported),
            (507, b"", errors.NoSpace),
        ],
    )
    def test_errors(
        self, kind: str, status: int, header: bytes, expected: type[Exception], short_tmp: Path
    ) -> None:
        body = b'{"message":"no such thing"}\n'
        answer = b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, header, len(body), body)
        server = FakeServer(short_tmp / "s", [[answer]])
        (result,) = request(kind, server.path, {"method": "GET", "path": "/a"})
        server.close()
        assert type(result) is expected
        assert result.message == "no such thing"

    def test_nobody_there(self, kind: str, short_tmp: Path) -> None:
        (result,) = request(kind, short_tmp / "nothing", {"method": "GET", "path": "/a"})
        assert isinstance(result, errors.Unavailable)
        assert "cannot reach the engine at unix://" in result.message

    def test_not_http(self, kind: str, short_tmp: Path) -> None:
        server = FakeServer(short_tmp / "s", [[b"220 smtp.example.com\r\n\r\n"]])
        (result,) = request(kind, server.path, {"method": "GET", "path": "/a"})
        server.close()
        assert "is not HTTP" in result.message


UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"


def test_hijacked_stream(short_tmp: Path) -> None:
    server = FakeServer(short_tmp / "s", [[UPGRADED]])
    transport = Transport(Address(path=str(server.path)))
    stream = transport.request("POST", "/attach", upgrade=True).hijack()
    assert b"".join(stream.communicate(b"x" * 10)) == b"early"
    stream.close()
    server.close()
    assert b"Upgrade: tcp" in server.requests[0]


async def test_hijacked_stream_of_asyncio(short_tmp: Path) -> None:
    server = FakeServer(short_tmp / "s", [[UPGRADED]])
    transport = AsyncTransport(Address(path=str(server.path)))
    stream = (await transport.request("POST", "/attach", upgrade=True)).hijack()
    assert b"".join([piece async for piece in stream.communicate(b"x" * 10)]) == b"early"
    await stream.aclose()
    server.close()
