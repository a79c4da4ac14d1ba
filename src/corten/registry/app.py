"""What every request meets: its route, leave, its handler; and errors, which become the specification's
codes."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import NamedTuple

from aiohttp import web

from corten.errors import CortenError, NoSpace, Unavailable
from corten.registry import routing
from corten.registry.access import ANONYMOUS, CALLER, Action, Identity
from corten.registry.auditing import RequestAudit
from corten.registry.certificates import certificate_name
from corten.registry.counters import Counters, Layout, Series
from corten.registry.cross_origin import refuse_other_sites
from corten.registry.direct import USED_UP
from corten.registry.errors import Code, RegistryError, RegistryErrors, errors_body
from corten.registry.handlers import (
    base,
    blobs,
    catalog,
    health,
    manifests,
    metrics,
    page,
    referrers,
    tags,
    token,
    uploads,
)
from corten.registry.names import require_repository
from corten.registry.rate_limits import RateLimits, limited_as
from corten.registry.recorder import GONE, Recorder, shown_path
from corten.registry.request import Request
from corten.registry.routing import Resource, Route
from corten.registry.services import Services

Handler = Callable[[Services, web.BaseRequest, Route, Identity], Awaitable[web.StreamResponse]]

_LOG = logging.getLogger("corten.registry")
RETRY_SECONDS = "5"
DRAINED = 1 << 20
"""A body that nobody reads is received up to this size; beyond it, the connection is closed instead."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,80}")

# With None nobody is asked: whether the process runs is not a secret.
_TABLE: dict[Resource, dict[str, tuple[Action | None, Handler]]] = {
    Resource.HEALTH: {"GET": (None, health.get)},
    Resource.METRICS: {"GET": (None, metrics.get)},
    Resource.TOKEN: {"GET": (None, token.get), "POST": (None, token.post)},
    # The page asks for leave by itself.
    Resource.PAGE: {"GET": (None, page.get)},
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


class Entry(NamedTuple):
    """What a method of a resource needs, who answers, and where it is counted."""

    action: Action | None
    handler: Handler
    series: Series


class Application:
    """The handler of aiohttp's low-level server."""

    def __init__(
        self,
        services: Services,
        counters: Counters,
        layout: Layout,
        limits: RateLimits,
        recorder: Recorder,
    ) -> None:
        self._services = services
        self._counters = counters
        self._layout = layout
        self._limits = limits
        self._limits_pulls, self._limits_sign_ins = limits.pulls, limits.sign_ins
        self._recorder = recorder
        self._audit = RequestAudit(services.audit)
        self._entries = {
            resource: {
                method: Entry(action, handler, layout.series(method, resource.value))
                for method, (action, handler) in methods.items()
            }
            for resource, methods in _TABLE.items()
        }
        self._names_requests = services.config.logs_access
        self._knows_certificates = bool(services.config.tls.client_ca)
        self._numbers = count(1)
        self._name = secrets.token_hex(6)
        self._active = 0
        self._draining = False

    async def drain(self, seconds: float) -> None:
        """Each connection ends with its request from now on; waits for those under way, for so long."""
        self._draining = True
        deadline = time.monotonic() + seconds
        while self._active and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def __call__(self, request: Request) -> web.StreamResponse:
        self._active += 1
        try:
            return await self._answer(request)
        finally:
            self._active -= 1

    async def _answer(self, request: Request) -> web.StreamResponse:
        reads = request.method == "GET" or request.method == "HEAD"
        if self._names_requests or not reads or "X-Request-Id" in request.headers:
            self._name_request(request)
        response: web.StreamResponse
        try:
            response = await self._dispatch(request)
        except CortenError as error:
            response = await self._failure(request, error)
        except (ConnectionError, asyncio.CancelledError):
            # The client has gone.
            self._recorder.record(request, GONE)
            raise
        except Exception:
            _LOG.exception("%s %s failed", request.method, shown_path(request))
            response = await self._failure(
                request,
                RegistryError(
                    Code.UNKNOWN, "an error that should not happen: the registry's log has the details"
                ),
            )
        if not response.prepared and (self._draining or USED_UP in request):
            response.force_close()
        return response

    def _name_request(self, request: Request) -> None:
        """What the client calls it, or a name of its own: the same in every log."""
        given = request.headers.get("X-Request-Id", "")
        request.name = given if _REQUEST_ID.fullmatch(given) else f"{self._name}-{next(self._numbers)}"

    async def _dispatch(self, request: Request) -> web.StreamResponse:
        route = routing.find(request.rel_url.raw_path)
        if route is None:
            raise RegistryError(Code.NAME_UNKNOWN, f"there is nothing at {request.path[:200]}", status=404)
        request.route = route
        method = request.method
        entry = self._entries[route.resource].get(method)
        if entry is None:
            request.series = self._layout.series(method, route.resource.value)
        else:
            action, handler, request.series = entry
        if route.repository:
            require_repository(route.repository)
        if entry is None:
            allowed = ", ".join(sorted(_TABLE[route.resource]))
            raise RegistryError(
                Code.UNSUPPORTED,
                f"{method[:20]} is not possible here, only {allowed}",
                headers={"Allow": allowed},
            )
        if self._services.upstreams is not None and "ns" in request.rel_url.query:
            route = self._services.upstreams.in_namespace(route, request.rel_url.query["ns"])
            request.route = route
        if self._limits_sign_ins and self._is_sign_in(request, route):
            self._limits.sign_in(limited_as(request.remote or ""))
        if action is None:
            return await handler(self._services, request, route, ANONYMOUS)
        identity = await self._services.access.authorize(request, action, route.repository)
        if self._knows_certificates and not identity.name and (name := certificate_name(request)):
            identity = Identity(name)
        if identity.name:
            request[CALLER] = identity
        if method not in ("GET", "HEAD"):
            return await self._change(request, route, identity, handler)
        if self._limits_pulls and route.resource is Resource.MANIFEST and method == "GET":
            self._limits.pull(identity, limited_as(request.remote or ""))
        return await handler(self._services, request, route, identity)

    def _is_sign_in(self, request: Request, route: Route) -> bool:
        if route.resource is Resource.TOKEN:
            return True
        return request.headers.get("Authorization", "")[:6].lower() == "basic "

    async def _change(
        self, request: Request, route: Route, identity: Identity, handler: Handler
    ) -> web.StreamResponse:
        if request.method == "POST":
            refuse_other_sites(request, self._services.location(request, ""))
        self._services.audit.require()
        if self._limits.pushes and route.resource is not Resource.UPLOAD:
            self._limits.push(identity, limited_as(request.remote or ""))
        await self._welcome_body(request)
        response = await handler(self._services, request, route, identity)
        self._audit.changed(request, route, identity, response)
        return response

    async def _welcome_body(self, request: Request) -> None:
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

    async def _failure(self, request: Request, error: CortenError) -> web.Response:
        errors = _errors(error)
        first = errors[0]
        if not request.name:
            self._name_request(request)
        response = await page.failure(self._services, request, error) or web.Response(
            body=errors_body(errors),
            status=first.status,
            content_type="application/json",
            headers=first.headers,
        )
        self._tell(request, error, first)
        if request.body_exists and not request.content.is_eof():
            length = request.content_length
            if length is None or length > DRAINED:
                response.force_close()
        return response

    def _tell(self, request: Request, error: CortenError, first: RegistryError) -> None:
        """Who has to know of a failure: the log, the audit, the numbers."""
        status = first.status
        if status >= 500:
            self._counters.add(f"errors_{_kind(error)}")
            _LOG.warning("%s %s: %s", request.method, shown_path(request), ascii(error.message))
        elif status != 404:
            _LOG.info("%s %s: %d %s", request.method, shown_path(request), status, ascii(error.message))
        if status == 429:
            self._counters.add("limited")
        refused = status in (401, 403)
        route = request.route
        if route is None:
            return
        if refused and self._limits.sign_ins and self._is_sign_in(request, route):
            self._limits.refused(limited_as(request.remote or ""))
        if refused or (status >= 500 and request.method not in ("GET", "HEAD")):
            self._audit.failed(request, route, status, error.message)


def _kind(error: CortenError) -> str:
    """Whose fault: one of the numbers that are counted."""
    if isinstance(error, NoSpace):
        return "space"
    if not isinstance(error, Unavailable):
        return "unexpected"
    cause = type(error.__cause__).__module__
    return "database" if cause.startswith(("sqlalchemy", "sqlite3", "psycopg")) else "storage"


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
