"""A manifest: an image with its layers and config, an index with its platforms, an artifact; who refers to
it."""

from __future__ import annotations

from typing import Any

import msgspec

from corten.errors import CortenError
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.browsing_records import ManifestRow
from corten.registry.page import kinds
from corten.registry.page.commands import pull_commands
from corten.registry.page.config_blob import Config, read_config
from corten.registry.page.document import (
    MOST_CHILDREN,
    MOST_ENTRIES,
    MOST_LAYERS,
    Document,
    decode_document,
    strings,
)
from corten.registry.page.layer_bars import LayerRow, bars, layer_rows
from corten.registry.page.visit import Shown, Visit

MOST_REFERRERS = 100
MOST_TAGS = 40
MOST_USERS = 60
"""Of a layer's other images, so many are looked at."""
MOST_JSON = 64 << 10


async def show(visit: Visit) -> Shown:
    row = await find(visit, visit.address.reference)
    document = decode_document(row.payload)
    layers = document.contents
    kind = kinds.kind_of(
        row.media_type,
        document.artifact_type,
        document.config.media_type if document.config is not None else "",
        tuple(layer.media_type for layer in layers[:8]),
    )
    repository, digest = visit.address.repository, row.digest
    tag = "" if ":" in visit.address.reference else visit.address.reference
    config = await read_config(visit, document, kind)
    rows = await _layers(visit, document, digest, config)
    values: dict[str, Any] = {
        "repository": repository,
        "tag": tag,
        "row": row,
        "kind": kind,
        "document": document,
        "annotations": strings(document.annotations or {}),
        "tags": await visit.browser.tags_of(repository, digest, MOST_TAGS),
        "indexes": await visit.browser.indexes_of(repository, digest, MOST_TAGS),
        "referrers": await _referrers(visit, digest),
        "attached": await _legacy_referrers(visit, digest),
        "subject": await _subject(visit, row),
        "children": await _children(visit, document),
        "more_children": max(0, len(document.manifests or []) - MOST_CHILDREN),
        "config": config,
        "layers": rows,
        "bars": bars(rows),
        "more_layers": max(0, len(layers) - MOST_LAYERS),
        "total": sum(max(0, layer.size) for layer in layers),
        "by_tag": pull_commands(visit, kind, tag=tag) if tag else [],
        "by_digest": pull_commands(visit, kind, digest=digest),
        "json": _json(row.payload),
        "most": MOST_ENTRIES,
    }
    return Shown("manifest.html", values)


async def find(visit: Visit, reference: str) -> ManifestRow:
    """The manifest at a tag or a digest, with its payload; MANIFEST_UNKNOWN."""
    repository = visit.address.repository
    digest = reference if ":" in reference else await visit.browser.digest_of_tag(repository, reference)
    row = await visit.browser.manifest_row(repository, digest) if digest else None
    if row is None:
        raise RegistryError(
            Code.MANIFEST_UNKNOWN, f"there is no {reference[:200]} in {repository}; it may have been deleted"
        )
    return row


async def _layers(visit: Visit, document: Document, digest: str, config: Config) -> list[LayerRow]:
    layers = document.contents[:MOST_LAYERS]
    if not layers:
        return []
    found = await visit.browser.users_of_blobs(
        list(dict.fromkeys(layer.digest for layer in layers)), digest, MOST_USERS
    )
    users: dict[str, list[tuple[str, str, str]]] = {}
    for blob, entries in found.items():
        users[blob] = [entry for entry in entries if await visit.may_see(entry[0])]
    return layer_rows(layers, users, visit.address.repository, config.steps, MOST_USERS)


async def _legacy_referrers(visit: Visit, digest: str) -> list[tuple[str, str]]:
    """(tag, kind) of what tools have attached by the name of a tag."""
    names = kinds.legacy_tags(digest)
    found = await visit.browser.existing_tags(visit.address.repository, list(names))
    return [(tag, names[tag]) for tag in sorted(found)]


async def _referrers(visit: Visit, digest: str) -> list[dict[str, Any]]:
    rows = await visit.browser.referrer_rows(visit.address.repository, [digest], MOST_REFERRERS)
    return [
        {
            "row": row,
            "kind": kinds.of_type(row.artifact_type),
            "annotations": strings(_annotations(row.annotations), 20),
        }
        for row in rows
    ]


def _annotations(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.MsgspecError:
        return {}


async def _subject(visit: Visit, row: ManifestRow) -> dict[str, Any] | None:
    """What this refers to, by the specification or by the name of its tag."""
    subject = row.subject
    if not subject:
        legacy = kinds.legacy_referrer(visit.address.reference)
        subject = legacy[1] if legacy is not None else ""
    if not subject:
        return None
    repository = visit.address.repository
    here = subject in await visit.browser.manifest_rows(repository, [subject])
    tags = await visit.browser.tags_of(repository, subject, 5) if here else []
    return {"digest": subject, "is_here": here, "tags": tags}


async def _children(visit: Visit, document: Document) -> list[dict[str, Any]]:
    """An index's manifests, with what is known of each."""
    entries = (document.manifests or [])[:MOST_CHILDREN]
    if not entries:
        return []
    rows = await visit.browser.manifest_rows(visit.address.repository, [entry.digest for entry in entries])
    facts = await visit.facts({digest: row.facts for digest, row in rows.items()})
    children = []
    for entry in entries:
        notes = entry.annotations or {}
        attested = notes.get("vnd.docker.reference.digest", "")
        platform = str(entry.platform) if entry.platform is not None else ""
        known = facts.get(entry.digest)
        children.append(
            {
                "entry": entry,
                "is_here": entry.digest in rows,
                "platform": "" if platform.startswith("unknown") else platform,
                "kind": kinds.ATTESTATION if attested else (known.kind if known else ""),
                "attested": attested if attested in rows else "",
                "facts": known,
            }
        )
    return children


def _json(payload: bytes) -> str:
    """The manifest as it was pushed, indented where it can be."""
    if len(payload) > MOST_JSON:
        return ""
    try:
        return msgspec.json.format(payload, indent=2).decode("utf-8", "replace")
    except (msgspec.MsgspecError, CortenError, RecursionError):
        return payload.decode("utf-8", "replace")
