"""Paths to resources (distribution-spec, "Endpoints"). A repository's name may itself hold `blobs` or
`tags`, so a path is read from its end."""

from __future__ import annotations

import enum
from typing import NamedTuple
from urllib.parse import unquote

from corten.registry.page.addresses import is_page


class Resource(enum.Enum):
    """What a path names."""

    BASE = "base"
    CATALOG = "catalog"
    TAGS = "tags"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    REFERRERS = "referrers"
    HEALTH = "health"
    TOKEN = "token"
    METRICS = "metrics"
    PAGE = "page"


class Route(NamedTuple):
    """A resource, the repository that it lies in (or ""), and what names it in there (not validated)."""

    resource: Resource
    repository: str = ""
    reference: str = ""


_HEALTH = {"/healthz": "live", "/readyz": "ready"}


def find(path: str) -> Route | None:
    """The route of `path`, a request's target without its query; None when there is nothing."""
    if "%" in path:
        path = unquote(path)
    if not path.startswith("/v2/"):
        if path == "/v2":
            return Route(Resource.BASE)
        if path == "/metrics":
            return Route(Resource.METRICS)
        if path == "/token":
            return Route(Resource.TOKEN)
        if is_page(path):
            # What it is about may be no repository: the page reads the rest, and tells.
            return Route(Resource.PAGE, "", path)
        return Route(Resource.HEALTH, "", _HEALTH[path]) if path in _HEALTH else None
    rest = path[4:]
    head, _, last = rest.rpartition("/")
    name, _, word = head.rpartition("/")
    if not name:
        return _without_repository(rest)
    if word == "manifests":
        return Route(Resource.MANIFEST, name, last)
    if word == "blobs":
        return Route(Resource.UPLOADS, name) if last == "uploads" else Route(Resource.BLOB, name, last)
    if word == "uploads" and name.endswith("/blobs"):
        name = name[: -len("/blobs")]
        return Route(Resource.UPLOAD, name, last) if last else Route(Resource.UPLOADS, name)
    if word == "tags" and last == "list":
        return Route(Resource.TAGS, name)
    if word == "referrers":
        return Route(Resource.REFERRERS, name, last)
    return None


def _without_repository(rest: str) -> Route | None:
    if rest in ("", "/"):
        return Route(Resource.BASE)
    return Route(Resource.CATALOG) if rest == "_catalog" else None
