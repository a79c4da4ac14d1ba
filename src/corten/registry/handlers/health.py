"""`/healthz`: the process runs. `/readyz`: database and storage answer, a pull and a push can succeed."""

from __future__ import annotations

import msgspec
from aiohttp import web

from corten.registry.access import Identity
from corten.registry.routing import Route
from corten.registry.services import Services


async def get(services: Services, request: web.BaseRequest, route: Route, identity: Identity) -> web.Response:
    found = {"status": "ok"}
    if route.reference == "ready":
        reason = await services.readiness.reason()
        if reason:
            found = {"status": "not ready", "reason": reason}
    return web.Response(
        body=msgspec.json.encode(found),
        status=200 if found["status"] == "ok" else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
