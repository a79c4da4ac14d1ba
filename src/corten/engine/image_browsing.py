"""`image browse`: the tree of an image with the layer of each file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

import msgspec

from corten.engine.core import Core
from corten.image.model import Image
from corten.snapshot.browsing import Entry, browse

_TOGETHER = 1000


async def browse_image(core: Core, ref: str, path: str, *, deleted: bool = False) -> AsyncIterator[bytes]:
    """JSON lines: {"layers": [{"number", "digest", "diff_id", "size", "created_by"}]}, lowest first, and then
    {"entry": {"path", "type", "mode", "uid", "gid", "size", "mtime_ns", "layer", "target", "shadows"}}, in
    pieces. NotFound before the first."""
    images = core.images
    image = images.resolve(ref)
    with images.registrar.pin_chain(image.chain):
        lowers = await asyncio.to_thread(images.lowers, image)
        entries = browse(lowers, path, deleted=deleted)
        piece = await asyncio.to_thread(_some, entries)
        yield msgspec.json.encode({"layers": _layers(core, image)}) + b"\n" + piece
        while piece := await asyncio.to_thread(_some, entries):
            yield piece


def _some(entries: Iterator[Entry]) -> bytes:
    return b"".join([msgspec.json.encode({"entry": entry}) + b"\n" for entry in islice(entries, _TOGETHER)])


def _layers(core: Core, image: Image) -> list[dict[str, Any]]:
    steps = [step for step in image.config.history or () if not step.empty_layer]
    return [
        {
            "number": number,
            "digest": layer.digest,
            "diff_id": diff_id,
            "size": core.images.snapshotter.usage(chain_id).size,
            "created_by": (steps[number - 1].created_by or "") if len(steps) == len(image.layers) else "",
        }
        for number, (layer, diff_id, chain_id) in enumerate(
            zip(image.layers, image.config.diff_ids, image.chain, strict=True), 1
        )
    ]
