"""The tars of layers, made while later steps still run: the export finds them."""

from __future__ import annotations

import asyncio
import contextlib

from corten.build.export.layer_blobs import LayerBlobs
from corten.build.solve.result import BuiltLayer
from corten.errors import CortenError


class EarlyTars:
    """For one build; an asynchronous context manager, which ends what nobody has waited for. What goes wrong
    here goes wrong again, and is told, when the tar is needed."""

    def __init__(self, blobs: LayerBlobs) -> None:
        self._blobs = blobs
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> EarlyTars:
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, layer: BuiltLayer) -> None:
        """Begins the tar of a layer that was just made."""
        self._tasks.add(asyncio.create_task(self._make(layer)))

    async def _make(self, layer: BuiltLayer) -> None:
        with contextlib.suppress(CortenError, OSError):
            await self._blobs.described([layer], lambda name, done, total, complete: None)
