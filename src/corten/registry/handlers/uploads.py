"""`/v2/<name>/blobs/uploads/` (distribution-spec, "Pushing blobs", "Mounting a blob from another
repository")."""

from __future__ import annotations

from aiohttp import web

from corten.registry.access import Action, Identity
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.records import Upload
from corten.registry.names import ALGORITHMS, is_repository, is_supported_digest, require_digest
from corten.registry.ranges import sent
from corten.registry.routing import Route
from corten.registry.services import Services
from corten.registry.uploads import range_headers

SOURCES = 50
"""How many repositories an anonymous mount looks at, until it finds one that the caller may pull from."""


async def post(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.Response:
    query = request.rel_url.query
    mount = query.get("mount", "")
    if mount and is_supported_digest(mount):
        mounted = await _mount(services, identity, route.repository, mount, query.get("from", ""))
        if mounted:
            return _created(services, request, route.repository, mount)
    if "digest" in query:
        digest = require_digest(query["digest"])
        upload = await services.uploads.begin(route.repository, digest.partition(":")[0])
        upload = await services.uploads.append(upload, request, last=True)
        await services.uploads.finish(upload, digest)
        return _created(services, request, route.repository, digest)
    algorithm = query.get("digest-algorithm", "sha256")
    if algorithm not in ALGORITHMS:
        raise RegistryError(
            Code.DIGEST_INVALID,
            f"{algorithm[:40]!r} is no algorithm that is supported: use {' or '.join(ALGORITHMS)}",
        )
    return _accepted(services, request, await services.uploads.begin(route.repository, algorithm), 202)


async def _mount(services: Services, identity: Identity, repository: str, digest: str, source: str) -> bool:
    grace = int(services.config.collection.grace_seconds * 1000)
    if source:
        sources = [source] if is_repository(source) else []
    else:
        sources = await services.metadata.repositories_with(digest, SOURCES)
    for name in sources:
        if not await services.access.allows(identity, Action.PULL, name):
            continue
        if await services.metadata.mount_blob(repository, digest, name, grace) is not None:
            return True
    return False


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    return _accepted(services, request, await _find(services, route), 204)


async def patch(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.Response:
    upload = await _find(services, route)
    _check_order(services, request, upload)
    return _accepted(services, request, await services.uploads.append(upload, request), 202)


async def put(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    if "digest" not in request.rel_url.query:
        raise RegistryError(
            Code.DIGEST_INVALID, "the digest of the blob is missing: ?digest=sha256:<64 hex digits>"
        )
    digest = require_digest(request.rel_url.query["digest"])
    upload = await _find(services, route)
    _check_order(services, request, upload)
    if request.body_exists:
        upload = await services.uploads.append(upload, request, last=True)
    await services.uploads.finish(upload, digest)
    return _created(services, request, route.repository, digest)


async def delete(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.Response:
    await services.uploads.cancel(await _find(services, route))
    return web.Response(status=204)


async def _find(services: Services, route: Route) -> Upload:
    return await services.uploads.find(route.repository, route.reference)


def _check_order(services: Services, request: web.BaseRequest, upload: Upload) -> None:
    """A chunk that says where it belongs has to follow what is there."""
    header = request.headers.get("Content-Range")
    if header is None:
        return
    span = sent(header)
    if span is None or span[0] != upload.offset:
        raise RegistryError(
            Code.RANGE_INVALID,
            f"the next chunk begins at byte {upload.offset}, and this is {header[:60]!r}",
            headers={**_place(services, request, upload), **range_headers(upload)},
        )
    if request.content_length is not None and request.content_length != span[1] - span[0]:
        raise RegistryError(
            Code.SIZE_INVALID,
            f"the chunk has {request.content_length} bytes, and its Content-Range says {span[1] - span[0]}",
        )


def _place(services: Services, request: web.BaseRequest, upload: Upload) -> dict[str, str]:
    path = f"/v2/{upload.repository}/blobs/uploads/{upload.id}"
    return {"Location": services.location(request, path), "Docker-Upload-UUID": upload.id}


def _accepted(services: Services, request: web.BaseRequest, upload: Upload, status: int) -> web.Response:
    headers = {**_place(services, request, upload), **range_headers(upload)}
    return web.Response(status=status, headers=headers)


def _created(services: Services, request: web.BaseRequest, repository: str, digest: str) -> web.Response:
    place = services.location(request, f"/v2/{repository}/blobs/{digest}")
    return web.Response(status=201, headers={"Location": place, "Docker-Content-Digest": digest})
