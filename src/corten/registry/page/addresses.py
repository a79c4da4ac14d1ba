"""The pages' paths. A repository's name can hold neither ":" nor "@", so what follows one is no part of it.

/                          the repositories; ?q= searches
/r/<name>                  tags
/r/<name>:<tag>            what a tag points to
/r/<name>@<digest>         a manifest
/layer/<name>@<digest>     the files of a layer
/compare/<name>            ?from= and ?to=: what changed
/sign-in                   asks for credentials
/static/<file>
/favicon.ico               the icon, for whoever asks without having read a page
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from corten.registry.names import is_repository, is_supported_digest, is_tag

PREFIXES = ("/r/", "/layer/", "/compare/", "/static/")


class Place(enum.Enum):
    """Which page."""

    REPOSITORIES = "repositories"
    TAGS = "tags"
    MANIFEST = "manifest"
    LAYER = "layer"
    COMPARISON = "comparison"
    SIGN_IN = "sign-in"
    STATIC = "static"


class Address(NamedTuple):
    """A page, the repository that it is about, and a tag, a digest or a file."""

    place: Place
    repository: str = ""
    reference: str = ""


def is_page(path: str) -> bool:
    """Whether a path belongs to the page, whether or not there is something."""
    return path in ("/", "/sign-in", "/favicon.ico") or path.startswith(PREFIXES)


def read(path: str) -> Address | None:
    """The page at `path` (decoded, without its query); None for none."""
    if path == "/":
        return Address(Place.REPOSITORIES)
    if path == "/sign-in":
        return Address(Place.SIGN_IN)
    if path == "/favicon.ico":
        return Address(Place.STATIC, "", "icon.svg")
    kind, _, rest = path[1:].partition("/")
    if kind == "static":
        return Address(Place.STATIC, "", rest)
    if kind == "compare":
        return Address(Place.COMPARISON, rest) if is_repository(rest) else None
    if kind == "layer":
        name, _, digest = rest.partition("@")
        return Address(Place.LAYER, name, digest) if _fits(name, digest) else None
    if kind != "r":
        return None
    if "@" in rest:
        name, _, reference = rest.partition("@")
        return Address(Place.MANIFEST, name, reference) if _fits(name, reference) else None
    name, colon, reference = rest.partition(":")
    if not colon:
        return Address(Place.TAGS, name) if is_repository(name) else None
    return Address(Place.MANIFEST, name, reference) if is_repository(name) and is_tag(reference) else None


def _fits(name: str, digest: str) -> bool:
    return is_repository(name) and is_supported_digest(digest)


def repositories(**query: str) -> str:
    """The list, or a search."""
    return _with("/", query)


def tags(repository: str, **query: str) -> str:
    """A repository."""
    return _with(f"/r/{repository}", query)


def manifest(repository: str, reference: str) -> str:
    """A tag's page, or a digest's."""
    return f"/r/{repository}{'@' if ':' in reference else ':'}{reference}"


def layer(repository: str, digest: str, **query: str) -> str:
    """A layer's files."""
    return _with(f"/layer/{repository}@{digest}", query)


def compare(repository: str, **query: str) -> str:
    """A comparison; `from_` stands for `from`."""
    return _with(f"/compare/{repository}", {name.rstrip("_"): value for name, value in query.items()})


def blob(repository: str, digest: str) -> str:
    """Where a blob's bytes are (distribution-spec, "Pulling blobs")."""
    return f"/v2/{repository}/blobs/{digest}"


def _with(path: str, query: Mapping[str, str]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
