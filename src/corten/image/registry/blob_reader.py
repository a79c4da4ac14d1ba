"""One blob from a registry or its mirrors, whatever the network does: resumed by Range, cut off when it is
too long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

import aiohttp

from corten.errors import CortenError, IntegrityError, Unavailable
from corten.image.registry.transport import Transport
from corten.oci.descriptor import Descriptor

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class BlobReader:
    """Reads `path` (of the descriptor's size) from the first of `transports` that has it."""

    def __init__(
        self, transports: Sequence[Transport], path: str, scope: str, descriptor: Descriptor
    ) -> None:
        self._transports = transports
        self._path = path
        self._scope = scope
        self._descriptor = descriptor
        self._what = f"pull blob {descriptor.digest}"
        self._offset = 0

    async def read(self, offset: int) -> AsyncIterator[bytes]:
        """From `offset` to the end. IntegrityError for a body that is too long, or too short in the end."""
        self._offset = offset
        for transport in self._transports:
            try:
                async for piece in self._from(transport, self._path):
                    yield piece
                return
            except CortenError as error:
                if not transport.endpoint.mirror and not self._has_urls(error):
                    raise
        async for piece in self._foreign():
            yield piece

    def _has_urls(self, error: CortenError) -> bool:
        """A foreign layer is looked for elsewhere only when the registry itself lacks it, as Docker does."""
        return bool(self._descriptor.urls) and not isinstance(error, IntegrityError)

    async def _foreign(self) -> AsyncIterator[bytes]:
        last: CortenError | None = None
        for url in self._descriptor.urls or ():
            if url.startswith(("https://", "http://")):
                try:
                    async for piece in self._from(self._transports[-1], url):
                        yield piece
                    return
                except CortenError as error:
                    last = error
        raise last or Unavailable(
            f"cannot {self._what}: it is a foreign layer, and none of its URLs is usable"
        )

    async def _from(self, transport: Transport, target: str) -> AsyncIterator[bytes]:
        attempt = 0
        while self._offset < self._descriptor.size or not self._descriptor.size:
            before = self._offset
            response = await self._open(transport, target)
            try:
                async for piece in self._body(transport, response):
                    yield piece
                return
            except Unavailable:
                if self._offset - before >= transport.retry.progress:
                    attempt = 0
                delay = transport.retry.delay(attempt)
                if delay is None:
                    raise
                attempt += 1
            finally:
                response.close()
            await asyncio.sleep(delay)

    async def _open(self, transport: Transport, target: str) -> aiohttp.ClientResponse:
        headers = {"Range": f"bytes={self._offset}-"} if self._offset else {}
        return await transport.open(
            "GET",
            target,
            what=self._what,
            scopes=(self._scope,) if target.startswith("/") else (),
            headers=headers,
            accept=(200, 206),
        )

    async def _body(self, transport: Transport, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The rest of the blob out of one answer; Unavailable when it ends early."""
        size = self._descriptor.size
        skip = self._offset - self._start_of(transport, response)
        told = response.content_length
        if told is not None and told > size - self._offset + skip:
            raise self._too_long(transport)
        async for piece in transport.pieces(response, self._what):
            if skip:
                skip, piece = max(0, skip - len(piece)), piece[skip:]
                if not piece:
                    continue
            if self._offset + len(piece) > size:
                raise self._too_long(transport)
            self._offset += len(piece)
            yield piece
        if self._offset < size:
            raise Unavailable(
                f"cannot {self._what}: {transport.endpoint.host} sent {self._offset} bytes instead of the "
                f"{size} announced"
            )

    def _start_of(self, transport: Transport, response: aiohttp.ClientResponse) -> int:
        """Where the body begins: a server may answer a Range with the whole."""
        if response.status == 200:
            return 0
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) > self._offset:
            raise IntegrityError(
                f"cannot {self._what}: {transport.endpoint.host} sent another range than asked for"
            )
        return int(match[1])

    def _too_long(self, transport: Transport) -> IntegrityError:
        return IntegrityError(
            f"cannot {self._what}: {transport.endpoint.host} sends more than the "
            f"{self._descriptor.size} bytes that the manifest announces"
        )
