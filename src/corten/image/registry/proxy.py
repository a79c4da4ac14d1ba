"""Proxies from the environment: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in either case of letters.

Not aiohttp's trust_env: that also reads ~/.netrc, and would send what it finds there to a redirect's target.
"""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit


def proxy_for(url: str) -> str | None:
    """The proxy to reach `url` by, or None."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies_environment().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass_environment(parts.netloc):  # type: ignore[attr-defined]
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
