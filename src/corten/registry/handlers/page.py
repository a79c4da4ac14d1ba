"""The page for people (`registry/page`). It asks for leave itself: what it tells of a refusal is a page."""

from __future__ import annotations

from aiohttp import web

from corten.errors import CortenError
from corten.registry.access import Identity
from corten.registry.errors import Code, RegistryError
from corten.registry.routing import Route
from corten.registry.services import Services

FAILURE = "corten.registry.page.failure"
"""The key in a request under which the page leaves what is shown of the error that it raises."""


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    if services.page is None:
        raise RegistryError(Code.NAME_UNKNOWN, "this registry has no page", status=404)
    try:
        return await services.page.answer(services, request, route.reference)
    except CortenError as error:
        request[FAILURE] = await services.page.failure(services, request, error)
        raise
