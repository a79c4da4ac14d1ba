"""Whether a browser sends a request for a page of somebody else.

A browser that has signed in to the page sends the same credentials with a form that any other site has it
send: a POST could begin an upload, or mount a blob of one repository into another. The other methods that
change something need leave by CORS first, which nobody gets here.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from corten.registry.errors import Code, RegistryError


def refuse_other_sites(request: web.BaseRequest, location: str) -> None:
    """RegistryError for a request that `is_from_elsewhere`."""
    if not is_from_elsewhere(request, location):
        return
    message = "a page of another site may change nothing here"
    if "Sec-Fetch-Site" not in request.headers:
        message += (
            f": its Origin is not {location or 'this registry'}; if that is this registry, behind a proxy,"
            " set external-url, or let the proxy send X-Forwarded-Host"
        )
    raise RegistryError(Code.DENIED, message)


def is_from_elsewhere(request: web.BaseRequest, location: str) -> bool:
    """By Sec-Fetch-Site (Fetch Metadata), or by Origin where browsers leave that out: without TLS. Clients
    that are no browsers send neither. `location` is the registry as the caller knows it."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    try:
        name = urlsplit(origin).netloc.lower()
    except ValueError:
        return True
    return not name or name not in (
        urlsplit(location).netloc.lower(),
        request.headers.get("Host", "").lower(),
    )
