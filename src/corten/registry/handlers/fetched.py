"""A blob that comes from an upstream, handed out while it comes in; and answers that cannot be completed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from corten.registry.services import Services
from corten.registry.upstream.fetch import Broken, Fetch

PIECE = 1 << 20


async def send(
    services: Services,
    request: web.BaseRequest,
    fetch: Fetch,
    headers: dict[str, str],
    status: int,
    start: int,
    end: int,
) -> web.StreamResponse:
    """The bytes from `start` to `end`. When they turn out to be wrong, or do not come, the connection is
    broken off before the last of them: an answer that has begun has no other way to say so."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    with fetch.reader() as reader:
        await response.prepare(request)
        try:
            while start < end:
                piece = await reader.read(start, end, PIECE)
                async with asyncio.timeout(services.config.limits.idle_seconds):
                    await response.write(piece)
                start += len(piece)
        except (Broken, TimeoutError):
            raise broken_off(request) from None
    await response.write_eof()
    return response


def via(request: web.BaseRequest) -> Sequence[str]:
    """Who says that a request came through them (RFC 9110, section 7.6.3)."""
    return request.headers.getall("Via", ())


def broken_off(request: web.BaseRequest) -> ConnectionResetError:
    """Ends a connection in the middle of an answer that cannot be completed; to be raised."""
    if request.transport is not None:
        request.transport.abort()
    return ConnectionResetError("the answer was broken off")
