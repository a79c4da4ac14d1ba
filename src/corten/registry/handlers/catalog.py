"""`/v2/_catalog`: the repositories that the caller may pull from (distribution's API; in OCI's
specification reserved)."""

from __future__ import annotations

import msgspec
from aiohttp import web

from corten.registry.access import Action, Identity
from corten.registry.handlers.pages import link, page
from corten.registry.routing import Route
from corten.registry.services import Services

BATCH = 1000
"""How many names are looked at together, when the first ones were not for the caller."""


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    count, last = page(request)
    names: list[str] = []
    size = count + 1
    while len(names) <= count:
        found = await services.metadata.repository_names(last, size)
        for name in found:
            if await services.access.allows(identity, Action.PULL, name):
                names.append(name)
        if len(found) < size:
            break
        last = found[-1]
        # Who may see little of a large registry does not make a question to the database of each name.
        size = max(size, BATCH)
    headers = {"Content-Type": "application/json"}
    if len(names) > count:
        names = names[:count]
        if names:
            headers |= link("/v2/_catalog", count, names[-1])
    return web.Response(body=msgspec.json.encode({"repositories": names}), headers=headers)
