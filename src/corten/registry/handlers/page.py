"""The page for people (`registry/page`), and what a browser is shown of errors: a page as well."""

from __future__ import annotations

import logging

from aiohttp import web

from corten.errors import CortenError
from corten.registry.access import Identity
from corten.registry.errors import Code, RegistryError
from corten.registry.request import Request
from corten.registry.routing import Resource, Route
from corten.registry.services import Services

_LOG = logging.getLogger("corten.registry")


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    if services.page is None:
        raise RegistryError(Code.NAME_UNKNOWN, "this registry has no page", status=404)
    return await services.page.answer(services, request, route.reference)


async def failure(services: Services, request: Request, error: CortenError) -> web.Response | None:
    """An error as a page; None where the specification's JSON is wanted, and where there is no page."""
    if services.page is None or not _wants_page(request):
        return None
    try:
        return await services.page.failure(services, request, error)
    except Exception:
        _LOG.exception("an error could not be shown as a page")
        return None


def _wants_page(request: Request) -> bool:
    """On the page's addresses everybody; where there is nothing, browsers."""
    if request.route is not None:
        return request.route.resource is Resource.PAGE
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/v2/")
