"""A request for a page: its address, leave, its view, HTML; errors as pages of their own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from aiohttp import web

from corten.errors import CortenError, Unavailable
from corten.registry.access import ANONYMOUS, CALLER, Action, Identity
from corten.registry.blobs.store import BlobStore
from corten.registry.config import Config
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.browser import Browser
from corten.registry.metadata.database import Database
from corten.registry.page import addresses
from corten.registry.page.addresses import Address, Place
from corten.registry.page.describer import Describer
from corten.registry.page.layers.shelf import Shelf
from corten.registry.page.rendering import Renderer
from corten.registry.page.views import comparison, layer, manifest, repositories, tags
from corten.registry.page.visit import Shown, Visit
from corten.registry.services import Services

# Nothing from elsewhere, nothing inline: what came with an image can be no script, whatever it looks like.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CHALLENGE = 'Basic realm="Corten registry", charset="UTF-8"'
MOST_QUERY = 2048

_VIEWS: dict[Place, Callable[[Visit], Awaitable[Shown]]] = {
    Place.REPOSITORIES: repositories.show,
    Place.TAGS: tags.show,
    Place.MANIFEST: manifest.show,
    Place.LAYER: layer.show,
    Place.COMPARISON: comparison.show,
}


class Site:
    """One process's. What it needs is made with the first request for a page."""

    def __init__(self, config: Config, blobs: BlobStore) -> None:
        self._renderer = Renderer()
        self._blobs = blobs
        self._browser = Browser(Database(config.database_url))
        self._describer = Describer(self._browser, blobs)
        self._shelf = Shelf(str(config.root_path / "page"), blobs, config.page)

    async def answer(self, services: Services, request: web.BaseRequest, path: str) -> web.Response:
        """The page at `path`. Raises what `failure` shows."""
        address = addresses.read(path)
        if address is not None and address.place is Place.STATIC:
            return self._static(request, address.reference)
        if address is None:
            raise RegistryError(Code.NAME_UNKNOWN, f"there is no page at {path[:200]}")
        if address.place is Place.SIGN_IN:
            return await self._sign_in(services, request)
        action = Action.PULL if address.repository else Action.LIST
        identity = await services.access.authorize(request, action, address.repository)
        if identity.name:
            request[CALLER] = identity
        shown = await _VIEWS[address.place](self._visit(services, request, address, identity))
        return await self._page(services, request, identity, shown)

    def _visit(
        self, services: Services, request: web.BaseRequest, address: Address, identity: Identity
    ) -> Visit:
        if len(request.rel_url.raw_query_string) > MOST_QUERY:
            raise RegistryError(Code.UNSUPPORTED, "the question is too long", status=414)
        scheme, host = _called(services, request)
        return Visit(
            address,
            {name: _storable(value) for name, value in request.rel_url.query.items()},
            identity,
            host,
            scheme,
            services.access,
            self._browser,
            self._blobs,
            self._describer,
            self._shelf,
        )

    async def _sign_in(self, services: Services, request: web.BaseRequest) -> web.Response:
        """Asks for credentials, and leads to the repositories whoever has sent good ones."""
        identity = await services.access.authorize(request, Action.BASE, "")
        if not identity.name and not _is_open(services):
            raise RegistryError(Code.UNAUTHORIZED, "sign in to go on")
        return web.Response(status=303, headers={**HEADERS, "Location": "/", "Cache-Control": "no-store"})

    async def _page(
        self, services: Services, request: web.BaseRequest, identity: Identity, shown: Shown
    ) -> web.Response:
        scheme, host = _called(services, request)
        values = {
            "host": host,
            "scheme": scheme,
            "identity": identity.name,
            "can_sign_in": not _is_open(services),
            "refresh": shown.refresh,
            "q": "",
            **shown.values,
        }
        body = (await asyncio.to_thread(self._renderer.render, shown.template, values)).encode(
            "utf-8", "replace"
        )
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            **HEADERS,
            "Cache-Control": "private, no-cache",
            "ETag": etag,
            "Vary": "Authorization, X-Forwarded-Host, X-Forwarded-Proto",
        }
        if shown.status == 200 and etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=body, status=shown.status, headers=headers, content_type="text/html", charset="utf-8"
        )

    async def failure(self, services: Services, request: web.BaseRequest, error: CortenError) -> web.Response:
        """What is shown of an error; a 401 asks for Basic, which browsers know."""
        identity = request.get(CALLER, ANONYMOUS)
        status, headers = 500, {}
        if isinstance(error, RegistryError):
            status = error.status
            headers = {k: v for k, v in error.headers.items() if k.lower() != "www-authenticate"}
        elif isinstance(error, Unavailable):
            status, headers = 503, {"Retry-After": "5"}
        if status == 401:
            headers["WWW-Authenticate"] = CHALLENGE
        message = _sentence(error.message, identity.name)
        values = {"status": status, "message": message, "title": _title(status)}
        response = await self._page(services, request, identity, Shown("error.html", values, status))
        response.headers.update(headers)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _static(self, request: web.BaseRequest, name: str) -> web.Response:
        file = self._renderer.files.get(name)
        if file is None:
            return web.Response(status=404, text="there is no such file\n", headers=HEADERS)
        is_named = request.rel_url.query.get("v") == file.etag
        headers = {
            **HEADERS,
            "ETag": f'"{file.etag}"',
            "Cache-Control": "public, max-age=31536000, immutable" if is_named else "no-cache",
        }
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, headers=headers, content_type=file.content_type, charset="utf-8")

    async def close(self) -> None:
        """Ends what goes on behind, and lets go of the database."""
        await self._shelf.close()
        await self._describer.close()
        await self._browser.close()


def _called(services: Services, request: web.BaseRequest) -> tuple[str, str]:
    """Scheme and name that the caller uses for this registry."""
    scheme, separator, host = services.location(request, "").partition("://")
    return (scheme, host) if separator else ("http", "REGISTRY")


def _storable(text: str) -> str:
    """A question without what databases refuse: NUL, and lone surrogates."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def _is_open(services: Services) -> bool:
    return getattr(services.access, "is_open", True)


def _title(status: int) -> str:
    return {
        401: "Sign in",
        403: "Not allowed",
        404: "Not found",
        405: "Not possible here",
        429: "Too many requests",
        503: "Try again later",
    }.get(status, "This did not work" if status < 500 else "An error on our side")


def _sentence(message: str, name: str) -> str:
    """The message as a sentence; a user's name stays as it is written."""
    text = message if name and message.startswith(name) else message[:1].upper() + message[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
