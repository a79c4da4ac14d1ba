"""`/v2/<name>/blobs/<digest>` (distribution-spec, "Pulling blobs", "Checking if content exists", "Deleting
Blobs")."""

from __future__ import annotations

import asyncio
import os
import socket
import time

from aiohttp import web

from corten.errors import NotFound
from corten.registry.access import Identity
from corten.registry.blobs.store import is_lost
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.records import Blob
from corten.registry.names import is_supported_digest, require_digest
from corten.registry.ranges import requested
from corten.registry.routing import Route
from corten.registry.services import Services

SMALL = 64 << 10
"""What is read and sent at once; sendfile(2) needs more calls."""
SIGNED_SECONDS = 1200
TOUCH_SECONDS = 60


async def get(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.StreamResponse:
    blob, _touched = await _find(services, route)
    headers = _headers(blob)
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    path = services.blobs.local_path(blob.location)
    if path is None and services.config.redirect:
        url = await asyncio.to_thread(services.blobs.signed_url, blob.location, SIGNED_SECONDS)
        if url is not None:
            return web.Response(status=307, headers={"Location": url, "Docker-Content-Digest": blob.digest})
    status, start, end = 200, 0, blob.size
    if "Range" in request.headers:
        wanted = requested(request.headers["Range"], blob.size)
        if isinstance(wanted, str):
            raise RegistryError(
                Code.RANGE_INVALID,
                f"the blob has {blob.size} bytes: the range cannot be satisfied",
                headers={"Content-Range": f"bytes */{blob.size}"},
            )
        if wanted is not None:
            (start, end), status = wanted, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
    if path is None:
        return await _send_stream(services, request, blob, headers, status, start, end)
    return await _send_file(services, request, blob, path, headers, status, start, end)


async def head(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.StreamResponse:
    """Also the promise to a push that the blob need not be sent: from now on it stays for the grace."""
    blob, touched = await _find(services, route)
    age = time.time() - touched / 1000
    if age > min(TOUCH_SECONDS, services.config.collection.grace_seconds / 2) and not (
        await services.metadata.keep_blob(route.repository, blob.digest)
    ):
        raise _unknown(route)
    response = web.StreamResponse(headers=_headers(blob))
    response.content_length = blob.size
    await response.prepare(request)
    return response


async def delete(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.StreamResponse:
    needed = await services.metadata.unlink_blob(route.repository, require_digest(route.reference))
    if needed is None:
        raise _unknown(route)
    if needed:
        raise RegistryError(
            Code.UNSUPPORTED,
            f"the manifest {needed} needs this blob: delete the manifest, and the blob goes by itself",
            {"digest": needed},
        )
    return web.Response(status=202)


async def _find(services: Services, route: Route) -> tuple[Blob, int]:
    found = None
    if is_supported_digest(route.reference):
        found = await services.metadata.blob(route.repository, route.reference)
    if found is None or is_lost(found[0].location):
        raise _unknown(route)
    return found


def _unknown(route: Route) -> RegistryError:
    return RegistryError(
        Code.BLOB_UNKNOWN,
        f"there is no blob {route.reference[:200]} in {route.repository}",
        {"digest": route.reference[:200]},
    )


def _headers(blob: Blob) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": blob.digest,
        "ETag": f'"{blob.digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000, immutable",
    }


async def _send_file(
    services: Services,
    request: web.BaseRequest,
    blob: Blob,
    path: str,
    headers: dict[str, str],
    status: int,
    start: int,
    end: int,
) -> web.StreamResponse:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    large = end - start > SMALL
    if large and transport.get_extra_info("sslcontext") is not None:
        return await _send_stream(services, request, blob, headers, status, start, end)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:
        raise RegistryError(
            Code.BLOB_UNKNOWN, f"the bytes of {blob.digest} are not in the registry's storage"
        ) from None
    with file:
        if not large:
            piece = os.pread(file.fileno(), end - start, start)
            return web.Response(body=piece, status=status, headers=headers)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = end - start
        _limit_stall(transport.get_extra_info("socket"), services.config.limits.idle_seconds)
        await response.prepare(request)
        await asyncio.get_running_loop().sendfile(transport, file, start, end - start)
        await response.write_eof()
        return response


def _limit_stall(connection: socket.socket | None, seconds: float) -> None:
    """A client that takes nothing more for so long loses its connection (RFC 5482)."""
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


async def _send_stream(
    services: Services,
    request: web.BaseRequest,
    blob: Blob,
    headers: dict[str, str],
    status: int,
    start: int,
    end: int,
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    pieces = services.blobs.stream(blob.location, start, end)
    try:
        first = await anext(pieces, b"")  # before the head: a store that does not answer is a 503
    except NotFound as error:
        raise RegistryError(Code.BLOB_UNKNOWN, error.message, status=404) from error
    await response.prepare(request)
    if first:
        await response.write(first)
    async for piece in pieces:
        async with asyncio.timeout(services.config.limits.idle_seconds):
            await response.write(piece)
    await response.write_eof()
    return response
