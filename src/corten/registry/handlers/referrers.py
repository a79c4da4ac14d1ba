"""`/v2/<name>/referrers/<digest>` (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

import msgspec
from aiohttp import web

from corten.oci.manifest import OCI_INDEX
from corten.registry.access import Identity
from corten.registry.names import require_digest
from corten.registry.routing import Route
from corten.registry.services import Services


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    digest = require_digest(route.reference)
    wanted = request.rel_url.query.get("artifactType", "")
    descriptors = []
    for found in await services.metadata.referrers(route.repository, digest):
        if wanted and found.artifact_type != wanted:
            continue
        descriptor: dict[str, object] = {
            "mediaType": found.media_type,
            "digest": found.digest,
            "size": found.size,
        }
        if found.artifact_type:
            descriptor["artifactType"] = found.artifact_type
        if found.annotations:
            descriptor["annotations"] = msgspec.Raw(found.annotations.encode())
        descriptors.append(descriptor)
    headers = {"Content-Type": OCI_INDEX}
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}
    return web.Response(body=msgspec.json.encode(index), headers=headers)
