"""The steps of an image's making, with the size of what each added."""

from __future__ import annotations

import contextlib

from corten.errors import NotFound
from corten.image.model import HistoryItem, Image
from corten.image.registrar import Registrar
from corten.oci.image_config import parse_time


def history_of(registrar: Registrar, image: Image) -> list[HistoryItem]:
    """Newest first; only the newest step carries the image's ID, as in Docker."""
    steps: list[HistoryItem] = []
    layers = iter(image.chain)
    for step in image.config.history or ():
        size = 0
        if not step.empty_layer and (chain_id := next(layers, None)) is not None:
            size = _size(registrar, chain_id)
        steps.append(
            HistoryItem(
                "<missing>", parse_time(step.created), step.created_by or "", (), size, step.comment or ""
            )
        )
    for chain_id in layers:  # layers that no step accounts for
        steps.append(HistoryItem("<missing>", image.created, "", (), _size(registrar, chain_id), ""))
    steps.reverse()
    if steps:
        newest = steps[0]
        steps[0] = HistoryItem(
            image.id, newest.created, newest.created_by, image.repo_tags, newest.size, newest.comment
        )
    return steps


def _size(registrar: Registrar, chain_id: str) -> int:
    with contextlib.suppress(NotFound):
        return registrar.snapshotter.usage(chain_id).size
    return 0
