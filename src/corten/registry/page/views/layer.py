"""The files of one layer."""

from __future__ import annotations

import asyncio
from typing import Any

from corten.registry.blobs.store import is_lost
from corten.registry.errors import Code, RegistryError
from corten.registry.page import addresses, text
from corten.registry.page.layers.shelf import Layer, read_part
from corten.registry.page.visit import Shown, Visit

PAGE = 200
WORD = 200
WAIT_SECONDS = 3.0
REFRESH_SECONDS = 2
MOST_OFFSET = 10_000_000


async def show(visit: Visit) -> Shown:
    repository, digest = visit.address.repository, visit.address.reference
    found = (await visit.browser.blobs_in(repository, [digest])).get(digest)
    if found is None or is_lost(found[0]):
        raise RegistryError(Code.BLOB_UNKNOWN, f"there is no layer {digest} in {repository}")
    users = await visit.browser.users_of_blobs([digest], "", 1)
    back = next((entry for entry in users[digest] if entry[0] == repository), None)
    values: dict[str, Any] = {
        "repository": repository,
        "digest": digest,
        "size": found[1],
        "image": addresses.manifest(repository, back[2] or back[1]) if back else "",
        "image_name": (back[2] or back[1]) if back else "",
    }
    path = await visit.shelf.listing(Layer(digest, *found), WAIT_SECONDS)
    if path is None:
        return Shown("layer_wait.html", values, refresh=REFRESH_SECONDS)
    word = visit.query.get("f", "").strip()[:WORD]
    offset = _number(visit.query.get("from", ""))
    summary, entries, more = await asyncio.to_thread(
        read_part, path, offset, PAGE, word.lower().encode("utf-8", "replace")
    )
    values |= {
        "word": word,
        "offset": offset,
        "summary": summary,
        "entries": [(text.path(entry.path), entry, text.path(entry.link)) for entry in entries],
        "largest": [(text.path(entry.path), entry) for entry in summary.largest],
        "directories": [(text.path(entry.path), entry) for entry in summary.by_directory],
        "widest": max((entry.size for entry in summary.by_directory), default=0),
        "next": addresses.layer(repository, digest, f=word, **{"from": str(offset + PAGE)}) if more else "",
    }
    return Shown("layer.html", values)


def _number(word: str) -> int:
    return min(int(word), MOST_OFFSET) if word.isascii() and word.isdigit() and len(word) < 9 else 0
