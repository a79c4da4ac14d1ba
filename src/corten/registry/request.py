"""A request with what the registry notes about it on its way."""

from __future__ import annotations

from aiohttp import web

from corten.registry.counters import Series
from corten.registry.routing import Route


class Request(web.BaseRequest):
    """What comes in, and all of its answers have the headers that a registry's have. Whoever makes one sets
    `begun` and `series` (plain attributes: this is in the way of every pull)."""

    ATTRS = web.BaseRequest.ATTRS | frozenset(("begun", "name", "route", "series"))

    begun: float
    """By the monotonic clock."""
    series: Series
    """Where it is counted."""
    name = ""
    """What logs and X-Request-Id call it; "" while nobody has to."""
    route: Route | None = None

    async def _prepare_hook(self, resp: web.StreamResponse) -> None:
        headers = resp.headers
        headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Server"] = "corten"
        if self.name:
            headers["X-Request-Id"] = self.name
