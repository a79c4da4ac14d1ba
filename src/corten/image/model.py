"""What the image store hands out: images, their uses, and the answers to changing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from corten.oci.descriptor import Descriptor
from corten.oci.image_config import ImageConfig


@dataclass(frozen=True, slots=True)
class Image:
    """One image for one platform. `id` is the digest of its config (`sha256:…`); `chain` and `layers` go
    bottom first; `size` is that of the unpacked layers in bytes; times are nanoseconds since 1970."""

    id: str
    config: ImageConfig
    chain: tuple[str, ...]
    layers: tuple[Descriptor, ...]
    manifest: Descriptor
    size: int
    created: int
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    parent: str = ""
    comment: str = ""
    last_tagged: int = 0


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """A container that was made from an image; or, with `mount`, a path at which one is mounted."""

    id: str
    running: bool
    mount: bool = False

    def __str__(self) -> str:
        if self.mount:
            return f"the mount at {self.id}"
        return f"{'running' if self.running else 'stopped'} container {self.id[:12]}"


class Users(Protocol):
    """Who uses images: the engine's containers. Called with no lock held."""

    def of_image(self, image_id: str) -> Sequence[ContainerUse]:
        """The containers that were made from this image."""
        ...


class NoUsers:
    """No containers at all."""

    def of_image(self, image_id: str) -> Sequence[ContainerUse]:
        return ()


@dataclass(frozen=True, slots=True)
class Removed:
    """One line of `rmi`: either `untagged` or `deleted` is set."""

    untagged: str = ""
    deleted: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune removed, and how many bytes that freed."""

    removed: tuple[Removed, ...]
    reclaimed: int


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One step of an image's making; times in nanoseconds, sizes in bytes."""

    id: str
    created: int
    created_by: str
    tags: tuple[str, ...]
    size: int
    comment: str


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """For `system df`: one image's size, and how much of it other images share."""

    image: Image
    shared: int
    unique: int
    containers: int


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """All images: `layers_size` is what all layers take, each counted once; `blobs_size` what the content
    store takes."""

    images: tuple[ImageSizes, ...]
    layers_size: int
    blobs_size: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of something long. With `total` > 0, `current` of `total` bytes of `id` are done."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


Report = Callable[[Progress], None]
"""Called from the working thread."""


def silent(progress: Progress) -> None:
    """The Report of who does not want to know."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load or import made: the image, and the names it got (familiar form)."""

    id: str
    names: tuple[str, ...] = ()


Filters = Mapping[str, Iterable[str]]


@dataclass(frozen=True, slots=True)
class Commit:
    """What `commit` needs to know. `changes` are Dockerfile instructions; `config` replaces the parent's
    when given."""

    parent: str
    upper: str
    lowers: tuple[str, ...]
    author: str = ""
    comment: str = ""
    changes: Sequence[str] = ()
    config: ImageConfig | None = None
    created_by: str = ""
    names: Sequence[str] = field(default=())
