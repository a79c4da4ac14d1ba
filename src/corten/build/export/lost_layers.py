"""Telling a cache that has lost layers, which is no failure of a build, from what is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from corten.build.solve.failure import LayersLost
from corten.build.solve.result import BuiltLayer
from corten.errors import CortenError, NoSpace
from corten.image.layer_pipeline import Share


def explain_failure(
    error: CortenError, layers: Iterable[BuiltLayer], shares: Mapping[str, Share]
) -> CortenError:
    """What has gone wrong while `layers` were fetched, by `shares` (by digest): LayersLost when it was about
    those of an imported cache, else `error`."""
    if isinstance(error, NoSpace):
        return error
    missing = list(layers)
    failed = [
        layer
        for layer in missing
        if layer.blob is not None and layer.blob.digest in shares and _has_failed(shares[layer.blob.digest])
    ]
    if any(not layer.made_by for layer in failed):
        return error
    # No download has failed: then what came is damaged, or there is nowhere to ask.
    lost = [layer.id for layer in failed or missing if layer.made_by]
    return LayersLost(error.message, lost) if lost else error


def _has_failed(share: Share) -> bool:
    task = share.transfer.task
    return task.done() and not task.cancelled() and task.exception() is not None
