"""`/v2/<name>/blobs/<digest>` (distribution-spec, "Pulling blobs", "Checking if content exists", "Deleting
Blobs")."""

from __future__ import annotations

import asyncio
import os
import time

from aiohttp import web

from corten.errors import CortenError, NotFound
from corten.registry.access import Action, Identity
from corten.registry.blobs.store import is_lost
from corten.registry.errors import Code, RegistryError
from corten.registry.handlers.fetched import broken_off, send, via
from corten.registry.metadata.records import Blob
from corten.registry.names import is_supported_digest, require_digest
from corten.registry.ranges import requested
from corten.registry.routing import Route
from corten.registry.services import Services
from corten.registry.upstream.fetch import Fetch

SMALL = 64 << 10
"""What is read and sent at once; sendfile(2) needs more calls."""
SIGNED_SECONDS = 1200
TOUCH_SECONDS = 60


async def get(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.StreamResponse:
    try:
        blob, _touched = await _find(services, route)
    except RegistryError:
        found = await _fetch(services, request, route, identity)
        if found is None:
            raise
        if isinstance(found, Fetch):
            return await _send_fetched(services, request, found)
        blob = found
    headers = _headers(blob.digest)
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    path = services.blobs.local_path(blob.location)
    if path is None and services.config.redirect:
        url = await asyncio.to_thread(services.blobs.signed_url, blob.location, SIGNED_SECONDS)
        if url is not None:
            return web.Response(status=307, headers={"Location": url, "Docker-Content-Digest": blob.digest})
    status, start, end = _range(request, blob.size, headers)
    if path is None:
        return await _send_stream(services, request, blob, headers, status, start, end)
    return await _send_file(services, request, blob, path, headers, status, start, end)


async def head(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.StreamResponse:
    """Also the promise to a push that the blob need not be sent: from now on it stays for the grace."""
    try:
        blob, touched = await _find(services, route)
    except RegistryError:
        size = None
        if services.upstreams is not None and is_supported_digest(route.reference):
            size = await services.upstreams.blob_size(route.repository, route.reference, via(request))
        if size is None:
            raise
        return await _send_head(request, route.reference, size)
    age = time.time() - touched / 1000
    if age > min(TOUCH_SECONDS, services.config.collection.grace_seconds / 2) and not (
        await services.metadata.keep_blob(route.repository, blob.digest)
    ):
        raise _unknown(route)
    return await _send_head(request, blob.digest, blob.size)


async def _send_head(request: web.BaseRequest, digest: str, size: int) -> web.StreamResponse:
    response = web.StreamResponse(headers=_headers(digest))
    response.content_length = size
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


async def _fetch(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> Blob | Fetch | None:
    """A blob that an upstream has; None: none does."""
    if services.upstreams is None or not is_supported_digest(route.reference):
        return None

    async def allows(source: str) -> bool:
        return await services.access.allows(identity, Action.PULL, source)

    return await services.upstreams.blob(route.repository, route.reference, allows, via(request), SMALL)


async def _send_fetched(services: Services, request: web.BaseRequest, fetch: Fetch) -> web.StreamResponse:
    headers = _headers(fetch.digest)
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return await send(services, request, fetch, headers, *_range(request, fetch.size, headers))


def _range(request: web.BaseRequest, size: int, headers: dict[str, str]) -> tuple[int, int, int]:
    """Status, first byte, and the byte behind the last of what is wanted; may add Content-Range."""
    if "Range" not in request.headers:
        return 200, 0, size
    wanted = requested(request.headers["Range"], size)
    if isinstance(wanted, str):
        raise RegistryError(
            Code.RANGE_INVALID,
            f"the blob has {size} bytes: the range cannot be satisfied",
            headers={"Content-Range": f"bytes */{size}"},
        )
    if wanted is None:
        return 200, 0, size
    start, end = wanted
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return 206, start, end


def _unknown(route: Route) -> RegistryError:
    return RegistryError(
        Code.BLOB_UNKNOWN,
        f"there is no blob {route.reference[:200]} in {route.repository}",
        {"digest": route.reference[:200]},
    )


def _headers(digest: str) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
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
        await response.prepare(request)
        try:
            await asyncio.get_running_loop().sendfile(transport, file, start, end - start)
        finally:
            # What went out past the writer is counted all the same; also when the client has gone.
            request.writer.output_size += max(0, file.tell() - start)
        await response.write_eof()
        return response


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
    try:
        async for piece in pieces:
            async with asyncio.timeout(services.config.limits.idle_seconds):
                await response.write(piece)
    except (CortenError, TimeoutError):
        raise broken_off(request) from None
    await response.write_eof()
    return response
