"""`/metrics`: for this machine, and for administrators."""

from __future__ import annotations

from aiohttp import web

from corten.registry.access import Action, Identity
from corten.registry.config import is_loopback
from corten.registry.errors import Code, RegistryError
from corten.registry.routing import Route
from corten.registry.services import Services

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PROXIED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    settings = services.config.metrics
    if services.metrics is None or settings.listen:
        raise RegistryError(Code.NAME_UNKNOWN, "there are no metrics here", status=404)
    if not is_local(request):
        caller = await services.access.authorize(request, Action.ADMIN, "")
        if not caller.name:
            # Everybody may do everything here; still nobody is the administrator.
            raise RegistryError(
                Code.DENIED,
                "metrics are for this machine and for administrators: ask from here, or give them an address"
                " of their own ([metrics] listen)",
            )
    return await answer(services)


async def answer(services: Services) -> web.Response:
    """The metrics, for whoever has leave."""
    if services.metrics is None:
        raise RegistryError(Code.NAME_UNKNOWN, "there are no metrics here", status=404)
    return web.Response(
        body=await services.metrics.text(),
        headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"},
    )


def is_local(request: web.BaseRequest) -> bool:
    """Whether a program of this machine asks, and for itself: what a proxy passes on has come from
    elsewhere."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(peer, tuple) or not is_loopback(str(peer[0])):
        return False
    return not any(name in request.headers for name in _PROXIED)
