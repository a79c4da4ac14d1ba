"""Small request bodies, whole."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.client_exceptions import ClientError

from corten.registry.config import Limits
from corten.registry.errors import Code, RegistryError


async def read_body(request: web.BaseRequest, most: int, limits: Limits, *, what: str, code: Code) -> bytes:
    """The body, at most `most` bytes; RegistryError of `code` about `what`, with status 413, 408 or 400."""
    too_large = RegistryError(
        code, f"the {what} is larger than {most} bytes, the most that is accepted", status=413
    )
    if (request.content_length or 0) > most:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.idle_seconds):
            while piece := await request.content.readany():
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    raise too_large
    except TimeoutError:
        raise RegistryError(
            code, f"the {what} did not come within {limits.idle_seconds:g} s", status=408
        ) from None
    except (ClientError, ConnectionError) as error:
        raise RegistryError(code, f"the {what} broke off", status=400) from error
    return b"".join(pieces)
