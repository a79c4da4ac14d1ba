"""What a manifest is, in a few words, for the lists and for the search: worked out once and kept
(`metadata/browsing.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from corten.errors import CortenError
from corten.registry.metadata.browsing_records import Facts, Payload
from corten.registry.page import kinds
from corten.registry.page.document import (
    MOST_CHILDREN,
    Descriptor,
    Document,
    decode_document,
    decode_json_object,
    strings,
)

WORDS = 4096
"""Characters of labels and annotations that are found; each value up to VALUE."""
VALUE = 300
SUMMARY = 160
PLATFORMS = 12
MOST_CONFIG = 1 << 20
"""A larger config has its image shown, but is not searched."""

_DESCRIPTIONS = (
    "org.opencontainers.image.description",
    "org.opencontainers.image.title",
    "org.label-schema.description",
    "description",
)

ReadBlob = Callable[[Descriptor], bytes | None]
"""A blob's bytes; None when it is too large or not there."""


def facts_of(found: Payload, children: Mapping[str, Payload], read: ReadBlob) -> Facts:
    """Facts of one manifest; of an index, with its children's. Whatever cannot be read is left out."""
    try:
        document = decode_document(found.payload)
    except CortenError:
        return Facts(found.digest, kinds.ARTIFACT)
    if document.manifests is not None:
        return _of_index(found, document, children)
    config = document.config.media_type if document.config is not None else ""
    kind = kinds.kind_of(
        found.media_type, document.artifact_type, config, tuple(d.media_type for d in document.contents[:8])
    )
    labels: dict[str, str] = {}
    platform = created = ""
    if document.config is not None and kind in (kinds.IMAGE, kinds.HELM):
        labels, platform, created = _of_config(kind, document.config, read)
    notes = labels | strings(document.annotations or {})
    return Facts(
        found.digest,
        kind,
        platform,
        _bytes(document),
        (notes.get("org.opencontainers.image.created") or created)[:40],
        _summary(notes),
        _words(notes.items()),
    )


def _of_index(found: Payload, document: Document, children: Mapping[str, Payload]) -> Facts:
    platforms: list[str] = []
    sizes: dict[str, int] = {}
    for entry in (document.manifests or [])[:MOST_CHILDREN]:
        name = str(entry.platform) if entry.platform is not None else ""
        if name and not name.startswith("unknown") and name not in platforms:
            platforms.append(name)
        child = children.get(entry.digest)
        if child is not None:
            try:
                inner = decode_document(child.payload)
            except CortenError:
                continue
            for blob in (inner.config, *inner.contents):
                if blob is not None:
                    sizes[blob.digest] = max(0, blob.size)
    shown = platforms[:PLATFORMS] + (["…"] if len(platforms) > PLATFORMS else [])
    notes = strings(document.annotations or {})
    return Facts(
        found.digest,
        kinds.kind_of(found.media_type, document.artifact_type),
        ",".join(shown),
        min(sum(sizes.values()), (1 << 63) - 1),
        notes.get("org.opencontainers.image.created", "")[:40],
        _summary(notes),
        _words(notes.items()),
    )


def _of_config(kind: str, config: Descriptor, read: ReadBlob) -> tuple[dict[str, str], str, str]:
    """Labels, platform and creation of an image; the fields of a chart."""
    try:
        data = read(config)
        found = decode_json_object(data) if data is not None else {}
    except CortenError:
        return {}, "", ""
    if kind == kinds.HELM:
        return {key: value for key, value in strings(found).items() if len(value) <= VALUE}, "", ""
    run = found.get("config")
    labels = strings(run.get("Labels")) if isinstance(run, dict) else {}
    parts = [found.get(key) for key in ("os", "architecture", "variant")]
    platform = "/".join(part[:40] for part in parts if isinstance(part, str) and part)
    created = found.get("created")
    return labels, platform, created if isinstance(created, str) else ""


def _bytes(document: Document) -> int:
    """What a pull transfers: every blob once."""
    sizes = {
        blob.digest: max(0, blob.size) for blob in (document.config, *document.contents) if blob is not None
    }
    return min(sum(sizes.values()), (1 << 63) - 1)


def _summary(notes: Mapping[str, str]) -> str:
    for key in _DESCRIPTIONS:
        if text := " ".join(notes.get(key, "").split()):
            return _storable(text[:SUMMARY])
    return ""


def _words(notes: Iterable[tuple[str, str]]) -> str:
    lines = (f"{key[:VALUE]}={' '.join(value[:VALUE].split())}" for key, value in notes)
    return _storable("\n".join(lines)[:WORDS].lower())


def _storable(text: str) -> str:
    """Without what databases refuse: NUL (PostgreSQL)."""
    return text.replace("\0", " ")
