"""What a client calls this registry."""

from __future__ import annotations

import re

from aiohttp import web

from corten.registry.config import Config

_HOST = re.compile(r"[A-Za-z0-9._~-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")


def location(config: Config, request: web.BaseRequest, path: str) -> str:
    """`path` as a client has to ask for it: what it called this registry, through whichever proxies.

    A proxy that ends TLS says so in X-Forwarded-Proto, and X-Forwarded-Host has the name that the client
    used. The answer goes to the client that has sent these headers; a forged one leads astray nobody else.
    """
    if config.external_url:
        return config.external_url.rstrip("/") + path
    headers = request.headers
    scheme = headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    if scheme not in ("http", "https"):
        scheme = request.scheme
    host = headers.get("X-Forwarded-Host", "").partition(",")[0].strip() or headers.get("Host", "")
    if not _HOST.fullmatch(host):
        return path
    return f"{scheme}://{host}{path}"
