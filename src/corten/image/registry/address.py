"""Where requests may go: the addresses that users, registries and services name."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit


def is_url(text: str) -> bool:
    """Whether requests can go there: http(s), a host, and nothing that ends the line of a request."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return bool(
        parts.scheme in ("http", "https")
        and parts.hostname
        and port != 0
        and text.isprintable()
        and " " not in text
    )


def located(base: str, location: str) -> str | None:
    """What a Location header means in the answer of `base`; None when requests cannot go there."""
    try:
        target = urljoin(base, location)
    except ValueError:
        return None
    return target if is_url(target) else None
