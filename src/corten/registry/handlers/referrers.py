"""`/v2/<name>/referrers/<digest>` (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from corten.oci.manifest import OCI_INDEX
from corten.registry.access import Identity
from corten.registry.handlers.fetched import via
from corten.registry.metadata.records import Referrer
from corten.registry.names import require_digest
from corten.registry.routing import Route
from corten.registry.services import Services


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    digest = require_digest(route.reference)
    wanted = request.rel_url.query.get("artifactType", "")
    headers = {"Content-Type": OCI_INDEX}
    all_of_them: Sequence[Referrer]
    if services.upstreams is None:
        all_of_them = await services.metadata.referrers(route.repository, digest)
    else:
        all_of_them, warning = await services.upstreams.referrers(route.repository, digest, via(request))
        if warning:
            headers["Warning"] = warning
    descriptors = []
    for found in all_of_them:
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
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}
    return web.Response(body=msgspec.json.encode(index), headers=headers)
