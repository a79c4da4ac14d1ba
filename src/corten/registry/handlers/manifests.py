"""`/v2/<name>/manifests/<reference>` (distribution-spec, "Pulling manifests", "Pushing Manifests",
"Deleting Manifests")."""

from __future__ import annotations

import asyncio

from aiohttp import web
from multidict import CIMultiDict

from corten.registry.access import Action, Identity
from corten.registry.body import read_body
from corten.registry.errors import Code, RegistryError, RegistryErrors
from corten.registry.handlers.fetched import via
from corten.registry.handlers.tags import unknown as unknown_repository
from corten.registry.manifest import read_manifest
from corten.registry.metadata.records import Missing
from corten.registry.names import is_supported_digest, is_tag, require_digest, require_tag
from corten.registry.routing import Route
from corten.registry.services import Services

REPORTED = 100
"""How many missing blobs one answer names."""
LARGE = 64 << 10
"""Manifests that are larger are read in a thread."""


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    repository, reference = route.repository, route.reference
    manifest, stale = None, ""
    if is_supported_digest(reference) if ":" in reference else is_tag(reference):
        if services.upstreams is None:
            manifest = await services.metadata.manifest(repository, reference)
        else:
            manifest, stale = await services.upstreams.manifest(repository, reference, via(request))
    if manifest is None:
        raise await _unknown(services, repository, reference)
    etag = f'"{manifest.digest}"'
    headers = {
        "Content-Type": manifest.media_type,
        "Docker-Content-Digest": manifest.digest,
        "ETag": etag,
        # The type may be text/html, as any type may be pushed: to a browser it is nothing that runs.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if services.config.warnings and (warning := services.warning(repository)):
        headers["Warning"] = warning
    if stale:
        headers["Warning"] = f"{headers['Warning']}, {stale}" if "Warning" in headers else stale
    if etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=manifest.payload, headers=headers)


async def _unknown(services: Services, repository: str, reference: str) -> RegistryError:
    if not await services.metadata.has_repository(repository):
        return unknown_repository(repository)
    return RegistryError(
        Code.MANIFEST_UNKNOWN,
        f"there is no manifest {reference[:200]} in {repository}",
        {"name": repository, "reference": reference[:200]},
    )


async def put(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    repository, reference = route.repository, route.reference
    digest, tags = _target(request, reference, services.config.limits.tags_in_one_push)
    limits = services.config.limits
    payload = await read_body(
        request, limits.manifest_bytes, limits, what="manifest", code=Code.MANIFEST_INVALID
    )
    content_type = request.headers.get("Content-Type", "")
    if len(payload) > LARGE:
        manifest = await asyncio.to_thread(
            read_manifest, payload, content_type, digest, limits.manifest_references
        )
    else:
        manifest = read_manifest(payload, content_type, digest, limits.manifest_references)
    missing = await services.metadata.put_manifest(repository, manifest, tags)
    if missing and services.upstreams is not None:

        async def allows(source: str) -> bool:
            return await services.access.allows(identity, Action.PULL, source)

        if await services.upstreams.complete(repository, missing, allows, via(request)):
            missing = await services.metadata.put_manifest(repository, manifest, tags)
    if missing:
        raise RegistryErrors([_lacks(entry) for entry in missing[:REPORTED]])
    headers: CIMultiDict[str] = CIMultiDict()
    headers["Location"] = services.location(request, f"/v2/{repository}/manifests/{manifest.digest}")
    headers["Docker-Content-Digest"] = manifest.digest
    if manifest.subject:
        headers["OCI-Subject"] = manifest.subject
    if digest:
        for tag in tags:
            headers.add("OCI-Tag", tag)
    if services.config.warnings and (warning := services.warning(repository)):
        headers["Warning"] = warning
    return web.Response(status=201, headers=headers)


def _target(request: web.BaseRequest, reference: str, most: int) -> tuple[str, list[str]]:
    """The digest that was given ("": none), and the tags to move."""
    more = request.rel_url.query.getall("tag", [])
    if ":" not in reference:
        if more:
            raise RegistryError(
                Code.TAG_INVALID,
                "more tags can be given (?tag=) when a manifest is pushed by its digest only",
            )
        return "", [require_tag(reference)]
    if len(more) > most:
        raise RegistryError(
            Code.TAG_INVALID, f"{len(more)} tags at once: {most} are the most that is accepted", status=414
        )
    return require_digest(reference), list(dict.fromkeys(require_tag(tag) for tag in more))


def _lacks(missing: Missing) -> RegistryError:
    reference = missing.reference
    what = "manifest" if reference.is_manifest else "blob"
    if missing.size < 0:
        return RegistryError(
            Code.MANIFEST_BLOB_UNKNOWN,
            f"the manifest needs the {what} {reference.digest}, and the repository lacks it: push it first",
            {"digest": reference.digest},
            status=404,
        )
    return RegistryError(
        Code.SIZE_INVALID,
        f"the manifest says that {reference.digest} has {reference.size} bytes, and it has {missing.size}",
        {"digest": reference.digest, "size": missing.size},
    )


async def delete(
    services: Services, request: web.BaseRequest, route: Route, identity: Identity
) -> web.Response:
    repository, reference = route.repository, route.reference
    if ":" not in reference:
        if not is_tag(reference) or not await services.metadata.delete_tag(repository, reference):
            raise await _unknown(services, repository, reference)
        return web.Response(status=202)
    needed = await services.metadata.delete_manifest(repository, require_digest(reference))
    if needed is None:
        raise await _unknown(services, repository, reference)
    if needed:
        raise RegistryError(
            Code.UNSUPPORTED,
            f"the index {needed} lists this manifest: delete the index first",
            {"digest": needed},
        )
    return web.Response(status=202)
