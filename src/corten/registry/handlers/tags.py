"""`/v2/<name>/tags/list` (distribution-spec, "Listing Tags")."""

from __future__ import annotations

import msgspec
from aiohttp import web

from corten.registry.access import Identity
from corten.registry.errors import Code, RegistryError
from corten.registry.handlers.fetched import via
from corten.registry.handlers.pages import link, page
from corten.registry.routing import Route
from corten.registry.services import Services


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    count, last = page(request)
    name = route.repository
    names = await services.metadata.tag_names(name, last, count + 1)
    headers = {"Content-Type": "application/json"}
    theirs: list[str] = []
    if services.upstreams is not None:
        theirs, warning = await services.upstreams.tags(name, via(request))
        names = sorted({*names, *(tag for tag in theirs if tag > last)})
        if warning:
            headers["Warning"] = warning
    if not names and not theirs and not await services.metadata.has_repository(name):
        raise unknown(name)
    if len(names) > count:
        names = names[:count]
        if names:
            headers |= link(f"/v2/{name}/tags/list", count, names[-1])
    return web.Response(body=msgspec.json.encode({"name": name, "tags": names}), headers=headers)


def unknown(repository: str) -> RegistryError:
    """There is no such repository."""
    return RegistryError(
        Code.NAME_UNKNOWN, f"there is no repository {repository} in this registry", {"name": repository}
    )
