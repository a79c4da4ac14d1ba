"""Searching a registry by name: the old `/v1/search` of Docker Hub and a few others, or else the catalog."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from corten.errors import Denied, IntegrityError, NotFound, Unsupported
from corten.image.registry.client import RegistryClient

_HUB = "docker.io"
_HUB_INDEX = "https://index.docker.io"


class SearchHit(msgspec.Struct, frozen=True):
    """A repository that was found; `name` without the registry's domain."""

    name: str
    description: str | None = None
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


async def search(client: RegistryClient, term: str, *, limit: int = 25) -> list[SearchHit]:
    """At most `limit` repositories, the best first. Unsupported where a registry has no way to search."""
    base = _HUB_INDEX if client.domain == _HUB else ""
    answer = await client.get(
        f"{base}/v1/search?q={quote(term, safe='')}&n={limit}",
        what=f"search {client.domain} for {term}",
        accept=(200, 404, 401, 403, 405),
    )
    if answer.status == 200:
        try:
            document: dict[str, Any] = msgspec.json.decode(answer.body, type=dict[str, Any])
            return msgspec.convert(document.get("results") or [], list[SearchHit])[:limit]
        except msgspec.MsgspecError as error:
            if client.domain == _HUB:
                raise IntegrityError(f"cannot search {client.domain}: its answer is no result") from error
    return _matching(await _catalog(client), term)[:limit]


async def _catalog(client: RegistryClient) -> list[str]:
    try:
        return await client.catalog()
    except (NotFound, Denied, Unsupported) as error:
        raise Unsupported(
            f"cannot search {client.domain}: this registry has neither /v1/search nor a catalog that "
            f"everybody may read; name the repository, or look at its web page ({error.message})"
        ) from error


def _matching(names: list[str], term: str) -> list[SearchHit]:
    """Exact names first, then names that begin so, then those that have it anywhere."""
    wanted = term.lower()
    hits = [name for name in names if wanted in name]
    hits.sort(key=lambda name: (name != wanted, not name.rpartition("/")[2].startswith(wanted), name))
    return [SearchHit(name) for name in hits]
