"""Manifests, indexes and configs as the page reads them: whatever was pushed, and nothing is believed."""

from __future__ import annotations

from typing import Any

import msgspec

from corten.errors import IntegrityError

MOST_CHILDREN = 200
MOST_LAYERS = 300
MOST_ENTRIES = 300
"""How many labels, variables and steps are shown."""


class Platform(msgspec.Struct, frozen=True):
    """Where an image runs; every part may be missing."""

    architecture: str | None = ""
    os: str | None = ""
    variant: str | None = ""

    def __str__(self) -> str:
        return "/".join(part[:40] for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What a manifest says of a blob or of another manifest."""

    digest: str
    size: int = 0
    media_type: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    urls: list[str] | None = None


class Document(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest or an index."""

    media_type: str = ""
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None
    blobs: list[Descriptor] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    @property
    def contents(self) -> list[Descriptor]:
        """The layers, or an artifact's blobs."""
        return self.layers or self.blobs or []


_DECODER = msgspec.json.Decoder(Document, strict=False)


def decode_document(payload: bytes) -> Document:
    """IntegrityError when a manifest is none of those that the page knows."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"the manifest cannot be shown: {error}") from error


def decode_json_object(data: bytes) -> dict[str, Any]:
    """Any JSON object; IntegrityError."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"it is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise IntegrityError("it is no JSON object")
    return found


def strings(found: object, most: int = MOST_ENTRIES) -> dict[str, str]:
    """The texts of a mapping, whatever else is in it; at most `most`."""
    if not isinstance(found, dict):
        return {}
    return {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in list(found.items())[:most]
    }


def words(found: object, most: int = MOST_ENTRIES) -> list[str]:
    """The texts of a list; one text alone counts as a list of one."""
    if isinstance(found, str):
        return [found]
    return [entry for entry in found[:most] if isinstance(entry, str)] if isinstance(found, list) else []
