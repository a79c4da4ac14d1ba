"""What is served at an address that is for monitoring only."""

from __future__ import annotations

from aiohttp import web

from corten.errors import CortenError
from corten.registry.access import ANONYMOUS
from corten.registry.errors import Code, RegistryError
from corten.registry.handlers import health, metrics
from corten.registry.routing import Resource, find
from corten.registry.services import Services


class MetricsApplication:
    """/metrics, /healthz and /readyz, and nothing else."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        route = find(request.rel_url.raw_path)
        try:
            if route is not None and request.method in ("GET", "HEAD"):
                if route.resource is Resource.METRICS:
                    return await metrics.answer(self._services)
                if route.resource is Resource.HEALTH:
                    return await health.get(self._services, request, route, ANONYMOUS)
            raise RegistryError(
                Code.NAME_UNKNOWN, "only GET of /metrics, /healthz and /readyz is here", status=404
            )
        except RegistryError as error:
            return web.Response(body=error.body(), status=error.status, content_type="application/json")
        except CortenError as error:
            return web.Response(text=error.message, status=503)
