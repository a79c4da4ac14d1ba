"""`/v2/`: this is a registry (distribution-spec, "Determining Support")."""

from __future__ import annotations

from aiohttp import web

from corten.registry.access import Identity
from corten.registry.routing import Route
from corten.registry.services import Services


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")
