"""What the lists have in common: `n`, `last`, and the Link to the next page (distribution-spec, "Listing
Tags"; RFC 8288)."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from corten.registry.errors import Code, RegistryError

DEFAULT = 1000
MOST = 10_000


def page(request: web.BaseRequest) -> tuple[int, str]:
    """How many entries, behind which. RegistryError: PAGINATION_NUMBER_INVALID."""
    query = request.rel_url.query
    text = query.get("n", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RegistryError(
            Code.PAGINATION_NUMBER_INVALID,
            f"invalid number of results {text[:40]!r}: it must be a whole number, and not negative",
            {"n": text[:40]},
        )
    return min(int(text), MOST) if text else DEFAULT, query.get("last", "")


def link(path: str, count: int, last: str) -> dict[str, str]:
    """The header that tells where the list goes on."""
    return {"Link": f'<{path}?{urlencode({"n": count, "last": last})}>; rel="next"'}
