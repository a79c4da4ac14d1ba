"""What the page asks of the metadata, and what it gets. Frozen values; times are milliseconds since 1970,
sizes are bytes."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, frozen=True):
    """What a manifest is, worked out of its bytes and its config's (`page/facts.py`).

    `kind` is a key of `page/kinds.py`; `platforms` are separated by commas; `bytes` is what a pull of all of
    it transfers; `created` is RFC 3339, or ""; `words` are its labels and annotations, a line each.
    """

    digest: str
    kind: str = ""
    platforms: str = ""
    bytes: int = 0
    created: str = ""
    summary: str = ""
    words: str = ""


class FoundRepository(msgspec.Struct, frozen=True):
    """A repository that matches a search: by its name (`rank` 0), or by what its images say (1)."""

    name: str
    rank: int


class RepositoryDetails(msgspec.Struct, frozen=True):
    """What the list shows of a repository. `summary` is its newest tag's."""

    name: str
    tags: int
    updated: int
    bytes: int
    newest: str = ""
    summary: str = ""
    kind: str = ""


class TagRow(msgspec.Struct, frozen=True):
    """A tag, and what it points to. Without `facts`, nobody has looked at the manifest yet."""

    name: str
    digest: str
    media_type: str
    updated: int
    facts: Facts | None = None


class ManifestRow(msgspec.Struct, frozen=True):
    """A manifest of a repository; `payload` only where it was asked for."""

    digest: str
    media_type: str
    artifact_type: str
    subject: str
    annotations: str
    size: int
    pushed: int
    facts: Facts | None = None
    payload: bytes = b""


class Payload(msgspec.Struct, frozen=True):
    """A manifest's bytes, wherever it lies."""

    digest: str
    media_type: str
    payload: bytes
