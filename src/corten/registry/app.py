"""What every request meets: its route, leave, its handler; and errors, which become the specification's
codes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from corten.errors import CortenError, NoSpace, Unavailable
from corten.registry import routing
from corten.registry.access import ANONYMOUS, Action, Identity
from corten.registry.direct import USED_UP
from corten.registry.errors import Code, RegistryError, RegistryErrors, errors_body
from corten.registry.handlers import (
    base,
    blobs,
    catalog,
    health,
    manifests,
    referrers,
    tags,
    token,
    uploads,
)
from corten.registry.names import require_repository
from corten.registry.routing import Resource, Route
from corten.registry.services import Services

Handler = Callable[[Services, web.BaseRequest, Route, Identity], Awaitable[web.StreamResponse]]

_LOG = logging.getLogger("corten.registry")
_ACCESS_LOG = logging.getLogger("corten.registry.access")
RETRY_SECONDS = "5"
DRAINED = 1 << 20
"""A body that nobody reads is received up to this size; beyond it, the connection is closed instead."""

# With None nobody is asked: whether the process runs is not a secret.
_TABLE: dict[Resource, dict[str, tuple[Action | None, Handler]]] = {
    Resource.HEALTH: {"GET": (None, health.get)},
    Resource.TOKEN: {"GET": (None, token.get), "POST": (None, token.post)},
    Resource.BASE: {"GET": (Action.BASE, base.get)},
    Resource.CATALOG: {"GET": (Action.LIST, catalog.get)},
    Resource.TAGS: {"GET": (Action.PULL, tags.get)},
    Resource.REFERRERS: {"GET": (Action.PULL, referrers.get)},
    Resource.MANIFEST: {
        "GET": (Action.PULL, manifests.get),
        "PUT": (Action.PUSH, manifests.put),
        "DELETE": (Action.DELETE, manifests.delete),
    },
    Resource.BLOB: {
        "GET": (Action.PULL, blobs.get),
        "HEAD": (Action.PULL, blobs.head),
        "DELETE": (Action.DELETE, blobs.delete),
    },
    Resource.UPLOADS: {"POST": (Action.PUSH, uploads.post)},
    Resource.UPLOAD: {
        "GET": (Action.PUSH, uploads.get),
        "PATCH": (Action.PUSH, uploads.patch),
        "PUT": (Action.PUSH, uploads.put),
        "DELETE": (Action.PUSH, uploads.delete),
    },
}
for _methods in _TABLE.values():
    if "GET" in _methods:
        _methods.setdefault("HEAD", _methods["GET"])


class Application:
    """The handler of aiohttp's low-level server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._logs = services.config.access_log
        self._active = 0
        self._draining = False

    async def drain(self, seconds: float) -> None:
        """Each connection ends with its request from now on; waits for those under way, for so long."""
        self._draining = True
        deadline = time.monotonic() + seconds
        while self._active and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self._active += 1
        try:
            return await self._answer(request)
        finally:
            self._active -= 1

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        begun = time.monotonic() if self._logs else 0.0
        response: web.StreamResponse
        try:
            response = await self._dispatch(request)
        except CortenError as error:
            response = self._failure(request, error)
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client has gone
        except Exception:
            _LOG.exception("%s %s failed", request.method, request.path)
            response = self._failure(
                request,
                RegistryError(
                    Code.UNKNOWN, "an error that should not happen: the registry's log has the details"
                ),
            )
        if not response.prepared:
            headers = response.headers
            headers["Docker-Distribution-Api-Version"] = "registry/2.0"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Server"] = "corten"
            if self._draining or USED_UP in request:
                response.force_close()
        if self._logs:
            self._log(request, response, time.monotonic() - begun)
        return response

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        route = routing.find(request.rel_url.raw_path)
        if route is None:
            raise RegistryError(Code.NAME_UNKNOWN, f"there is nothing at {request.path[:200]}", status=404)
        if self._services.upstreams is not None and "ns" in request.rel_url.query:
            route = self._services.upstreams.in_namespace(route, request.rel_url.query["ns"])
        method = request.method
        if route.repository:
            require_repository(route.repository)
        methods = _TABLE[route.resource]
        entry = methods.get(method)
        if entry is None:
            allowed = ", ".join(sorted(methods))
            raise RegistryError(
                Code.UNSUPPORTED,
                f"{method[:20]} is not possible here, only {allowed}",
                headers={"Allow": allowed},
            )
        action, handler = entry
        if action is None:
            return await handler(self._services, request, route, ANONYMOUS)
        identity = await self._services.access.authorize(request, action, route.repository)
        if method not in ("GET", "HEAD"):
            await self._welcome_body(request)
        return await handler(self._services, request, route, identity)

    async def _welcome_body(self, request: web.BaseRequest) -> None:
        headers = request.headers
        coding = headers.get("Content-Encoding", "identity").strip().lower()
        if coding != "identity":
            raise RegistryError(
                Code.UNSUPPORTED, f"bodies are taken as they are, not in {coding[:40]!r}", status=415
            )
        if headers.get("Expect", "").lower() == "100-continue" and request.body_exists:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # It was no part of the answer that is counted.
            request.writer.output_size = 0

    def _failure(self, request: web.BaseRequest, error: CortenError) -> web.Response:
        errors = _errors(error)
        first = errors[0]
        response = web.Response(
            body=errors_body(errors),
            status=first.status,
            content_type="application/json",
            headers=first.headers,
        )
        if first.status >= 500:
            _LOG.warning("%s %s: %s", request.method, request.path, error.message)
        elif first.status != 404:
            _LOG.info("%s %s: %d %s", request.method, request.path, first.status, error.message)
        if request.body_exists and not request.content.is_eof():
            length = request.content_length
            if length is None or length > DRAINED:
                response.force_close()
        return response

    def _log(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        _ACCESS_LOG.info(
            msgspec.json.encode(
                {
                    "time": round(time.time(), 3),
                    "remote": request.remote,
                    "method": request.method,
                    "path": request.path_qs,
                    "status": response.status,
                    "bytes": response.content_length,
                    "seconds": round(seconds, 6),
                    "agent": request.headers.get("User-Agent", ""),
                }
            ).decode()
        )


def _errors(error: CortenError) -> list[RegistryError]:
    """What the client is told of an error of any layer."""
    if isinstance(error, RegistryErrors):
        return error.errors
    if isinstance(error, RegistryError):
        return [error]
    if isinstance(error, NoSpace):
        return [RegistryError(Code.UNAVAILABLE, error.message, status=507)]
    if isinstance(error, Unavailable):
        return [RegistryError(Code.UNAVAILABLE, error.message, headers={"Retry-After": RETRY_SECONDS})]
    return [RegistryError(Code.UNKNOWN, error.message)]
