"""What exporters need of others: the layers that builds made, the layers of images, registries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from corten.build.solve.result import BuiltLayer, Result
from corten.image.registry.client import RegistryClient
from corten.oci.descriptor import Descriptor
from corten.oci.reference import Reference

Status = Callable[[str, int, int, bool], None]
"""(id, done, total, complete), as in `progress.VertexStatus`. On the event loop."""


class View(Protocol):
    """A file system that is mounted where nobody sees it; `fd` is its root directory."""

    fd: int

    def close(self) -> None:
        """Ends it."""
        ...


class Layers(Protocol):
    """`LayerStore` of the solver. Thread-safe; layers are those of a `Results` that is open."""

    def describe(self, layer: BuiltLayer) -> BuiltLayer:
        """The same layer with what is known of it by now: `diff_id` and `blob`, when its tar was made."""
        ...

    def directory(self, layer: BuiltLayer) -> Path:
        """The directory of a layer that was made here: `fs/` or `layer.erofs`, perhaps `layer.tar`."""
        ...

    def note_tar(self, layer: BuiltLayer, diff_id: str, blob: Descriptor) -> None:
        """The plain tar of a layer that was made here is in the content store now, pinned by the caller: it
        stays there for as long as the layer does."""
        ...

    def publish(self, layers: Sequence[BuiltLayer]) -> tuple[str, ...]:
        """Makes an image's layers of a whole chain (bottom first), all of whose diff IDs are known: their
        chain IDs, which the caller has pinned."""
        ...

    def lowers(self, layers: Sequence[BuiltLayer]) -> tuple[str, ...]:
        """Overlay's lower directories of a chain (bottom first), the topmost first. NotFound for what was
        not fetched."""
        ...

    def view(self, result: Result) -> View:
        """Mounts a file system to be looked at; the caller closes it."""
        ...


class Images(Protocol):
    """Base images, and layers of imported caches: `solve.protocols.Images`."""

    async def fetch(self, layers: Sequence[BuiltLayer], status: Status) -> None:
        """Makes `layers` (a chain from the bottom, none made here) mountable, and brings the blobs of what
        was not so. LayersLost for those of an imported cache."""
        ...


class RegistryAccess(Protocol):
    """Registries, with the client's credentials."""

    async def __call__(self, reference: Reference, *, insecure: bool = False) -> RegistryClient:
        """The client of the reference's registry; `insecure`: http, or certificates of anybody."""
        ...
