"""What exporters need of others: the layers that builds made, the layers of images, registries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from corten.build.solve.result import BuiltLayer
from corten.image.registry.client import RegistryClient
from corten.oci.descriptor import Descriptor
from corten.oci.reference import Reference

Status = Callable[[str, int, int, bool], None]
"""(id, done, total, complete), as in `progress.VertexStatus`. On the event loop, or from a thread."""


class Layers(Protocol):
    """The store of the layers that builds made (`LayerStore` of the solver). Thread-safe; layers are those
    of a `Results` that is open."""

    def describe(self, layer: BuiltLayer) -> BuiltLayer:
        """The same layer with what is known of it by now: `diff_id` and `blob`, when its tar was made."""
        ...

    def directory(self, layer: BuiltLayer) -> Path:
        """Where a layer that was made here lies, in one of the forms of `solve.protocols.Draft`."""
        ...

    def note_tar(self, layer: BuiltLayer, diff_id: str, blob: Descriptor) -> None:
        """The layer's plain tar is in the content store now; it stays there for as long as the layer does.
        The caller has pinned it."""
        ...

    def lowers(self, layers: Sequence[BuiltLayer]) -> tuple[str, ...]:
        """Overlay's lower directories of a chain (bottom first), the topmost first. NotFound."""
        ...


class Fetch(Protocol):
    """`Images.fetch` of the solver."""

    async def __call__(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        """Makes the image's layers among `layers` (a chain from the bottom) mountable."""
        ...


class RegistryAccess(Protocol):
    """Registries, with the client's credentials."""

    async def __call__(self, reference: Reference, *, insecure: bool = False) -> RegistryClient:
        """The client of the reference's registry; `insecure`: http, or certificates of anybody."""
        ...
