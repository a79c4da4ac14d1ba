"""What handlers see of HTTP, whoever speaks it: `plain` with most clients, `aiohttp_server` with the rest."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from corten.api.system import API_VERSION
from corten.version import __version__

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web

#: Sent with every answer; the docker command reads the version and the platform from them.
STANDARD_HEADERS = {
    "Server": f"Corten/{__version__} ({platform.system().lower()})",
    "Api-Version": API_VERSION,
    "Docker-Experimental": "false",
    "Ostype": "linux",
}
JSON_HEADERS = {**STANDARD_HEADERS, "Content-Type": "application/json"}

#: A piece of an upload, as it is handed on.
PIECE = 1 << 20
#: The largest JSON body; uploads are streamed and have no limit here.
MAX_BODY = 16 << 20


@dataclass(slots=True)
class Response:
    """An answer that is there as a whole. `headers` are all that it has but for its length."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: STANDARD_HEADERS)


class Stream(Protocol):
    """An answer whose head was sent, and whose body follows piece by piece.

    ConnectionError when the client has gone away.
    """

    async def write(self, data: bytes) -> None: ...
    async def write_eof(self, data: bytes = b"") -> None: ...


class Hijacked:
    """What a handler returns that has answered on the socket itself: HTTP has nothing to add."""


class Request(Protocol):
    """A request. `target` is its path and query as they came; `over_tcp`: not by the unix socket."""

    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def over_tcp(self) -> bool: ...
    @property
    def transport(self) -> asyncio.Transport | None:
        """The client's connection; None when it has gone away."""

    def header(self, name: str) -> str | None: ...

    async def read(self) -> bytes:
        """The body; InvalidArgument when it is larger than `MAX_BODY`."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body of an upload, in pieces of at most `PIECE` bytes."""

    def end_with_client(self) -> None:
        """From here on the handler is cancelled when the client goes away."""

    async def open_stream(self, headers: Mapping[str, str]) -> Stream:
        """Sends the head of an answer: 200, with these headers."""


Answer: TypeAlias = "Response | Stream | Hijacked | web.StreamResponse"
