"""What changed between two tags: config, layers, files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.browsing_records import ManifestRow
from corten.registry.names import is_supported_digest, is_tag
from corten.registry.page import kinds, text
from corten.registry.page.config_blob import Config, read_config
from corten.registry.page.document import MOST_CHILDREN, Descriptor, Document, decode_document
from corten.registry.page.layers.merging import Changes, Comparison
from corten.registry.page.layers.shelf import Layer
from corten.registry.page.views.layer import REFRESH_SECONDS
from corten.registry.page.views.manifest import find
from corten.registry.page.visit import Shown, Visit

MOST_TAGS = 100
MOST_LAYERS = 150
WAIT_SECONDS = 4.0
AT_ONCE = 64 << 20
"""Compressed layers up to so many bytes are read without being asked for."""


class Side(NamedTuple):
    """One of the two: what was asked for, its manifest, and its config."""

    reference: str
    row: ManifestRow
    document: Document
    platform: str
    config: Config


class LayerPair(NamedTuple):
    """A line of the two stacks: `sign` is "=" (both), "-" (only before) or "+" (only after)."""

    sign: str
    before: Descriptor | None
    after: Descriptor | None


async def show(visit: Visit) -> Shown:
    repository = visit.address.repository
    rows = await visit.browser.tag_rows(repository, "", None, MOST_TAGS)
    names = [row.name for row in rows if kinds.legacy_referrer(row.name) is None]
    first, second = visit.query.get("from", "").strip(), visit.query.get("to", "").strip()
    values: dict[str, Any] = {"repository": repository, "names": names, "from_": first, "to": second}
    if not first or not second:
        if not rows:
            raise RegistryError(Code.NAME_UNKNOWN, f"there are no tags in {repository}")
        return Shown("compare.html", {**values, "sides": None})
    for reference in (first, second):
        if not is_tag(reference) and not is_supported_digest(reference):
            raise RegistryError(
                Code.TAG_INVALID, f"{reference[:100]!r} is neither a tag nor a digest", status=404
            )
    before, after, platforms, platform = await _sides(visit, first, second)
    values |= {
        "sides": (before, after),
        "platforms": platforms,
        "platform": platform,
        "sizes": [sum(max(0, layer.size) for layer in side.document.contents) for side in (before, after)],
        "config": _config_changes(before.config, after.config),
        "pairs": (pairs := _pairs(before.document.contents, after.document.contents)),
        "kept": sum(1 for pair in pairs if pair.sign == "="),
    }
    files, refresh = await _files(visit, before, after, pairs)
    return Shown("compare.html", values | files, refresh=refresh)


async def _sides(visit: Visit, first: str, second: str) -> tuple[Side, Side, list[str], str]:
    """Both manifests; of indexes, those of one platform that both have."""
    tops = [(reference, await find(visit, reference)) for reference in (first, second)]
    documents = [decode_document(row.payload) for _reference, row in tops]
    choices = [_platforms(document) for document in documents]
    wanted = visit.query.get("platform", "")
    common = list(choices[0] or choices[1])
    if choices[0] and choices[1]:
        common = [name for name in choices[0] if name in choices[1]]
        if not common:
            raise RegistryError(
                Code.UNSUPPORTED, f"{first} and {second} have no platform in common", status=404
            )
    platform = wanted if wanted in common else "linux/amd64" if "linux/amd64" in common else ""
    platform = platform or (common[0] if common else "")
    sides = []
    for (reference, row), document, choice in zip(tops, documents, choices, strict=True):
        if choice:
            row = await find(visit, choice.get(platform, next(iter(choice.values()))))
            document = decode_document(row.payload)
        kind = kinds.kind_of(
            row.media_type, document.artifact_type, document.config.media_type if document.config else ""
        )
        config = await read_config(visit, document, kind)
        sides.append(Side(reference, row, document, platform, config))
    return sides[0], sides[1], common, platform


def _platforms(document: Document) -> dict[str, str]:
    """An index's platforms, each with its manifest's digest."""
    found: dict[str, str] = {}
    for entry in (document.manifests or [])[:MOST_CHILDREN]:
        name = str(entry.platform) if entry.platform is not None else ""
        if name and not name.startswith("unknown"):
            found.setdefault(name, entry.digest)
    return found


def _config_changes(before: Config, after: Config) -> list[tuple[str, str, str | None, str | None]]:
    """(section, name, before, after) of what differs; None is what is not there."""
    changes: list[tuple[str, str, str | None, str | None]] = []
    for section, old, new in (
        ("", dict(before.fields), dict(after.fields)),
        ("Environment", before.environment, after.environment),
        ("Label", before.labels, after.labels),
    ):
        for name in dict.fromkeys((*old, *new)):
            if old.get(name) != new.get(name):
                changes.append((section, name, old.get(name), new.get(name)))
    for name, left, right in (
        ("Platform", before.platform, after.platform),
        ("Created", before.created, after.created),
    ):
        if left != right:
            changes.append(("", name, left or None, right or None))
    return changes


def _pairs(before: Sequence[Descriptor], after: Sequence[Descriptor]) -> list[LayerPair]:
    """Both stacks beside each other, the lowest first."""
    old, new = list(before[:MOST_LAYERS]), list(after[:MOST_LAYERS])
    matcher = difflib.SequenceMatcher(
        None, [layer.digest for layer in old], [layer.digest for layer in new], autojunk=False
    )
    pairs: list[LayerPair] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            pairs += [LayerPair("=", left, right) for left, right in zip(old[i1:i2], new[j1:j2], strict=True)]
        else:
            pairs += [LayerPair("-", layer, None) for layer in old[i1:i2]]
            pairs += [LayerPair("+", None, layer) for layer in new[j1:j2]]
    return pairs


async def _files(
    visit: Visit, before: Side, after: Side, pairs: Sequence[LayerPair]
) -> tuple[dict[str, Any], int]:
    """What the template is told of the files, and after how many seconds to ask again."""
    nothing: dict[str, Any] = {"files": None, "state": "", "unread": 0}
    layers = [before.document.contents, after.document.contents]
    if all(pair.sign == "=" for pair in pairs):
        return {**nothing, "state": "same"}, 0
    if not all(_is_image(side) for side in (before, after)):
        return {**nothing, "state": "no-layers"}, 0
    if max(len(stack) for stack in layers) > MOST_LAYERS:
        return {**nothing, "state": "too-many"}, 0
    digests = list(dict.fromkeys(layer.digest for stack in layers for layer in stack))
    known = await visit.browser.blobs_in(visit.address.repository, digests)
    if any(digest not in known for digest in digests):
        return {**nothing, "state": "missing"}, 0
    unread = sum(known[digest][1] for digest in digests if not visit.shelf.is_listed(digest))
    if unread > AT_ONCE and visit.query.get("files") != "1":
        return {**nothing, "state": "ask", "unread": unread}, 0
    chains = [[Layer(layer.digest, *known[layer.digest]) for layer in stack] for stack in layers]
    found = await visit.shelf.comparison(chains[0], chains[1], WAIT_SECONDS)
    if found is None:
        return {**nothing, "state": "wait", "unread": unread}, REFRESH_SECONDS
    return {**nothing, "state": "done", "files": _shown(found)}, 0


def _is_image(side: Side) -> bool:
    return bool(side.document.contents) and all("tar" in layer.media_type for layer in side.document.contents)


def _shown(found: Comparison) -> dict[str, Any]:
    return {
        "problem": found.problem,
        "groups": [
            (title, changes, [(text.path(row.path), row) for row in changes.rows])
            for title, changes in (
                ("Added", found.added),
                ("Changed", found.changed),
                ("Removed", found.removed),
            )
        ],
        "total": sum(changes.count for changes in _all(found)),
    }


def _all(found: Comparison) -> tuple[Changes, ...]:
    return found.added, found.changed, found.removed
