"""The images facet: the asynchronous front of `image.ImageStore`; heavy work runs in threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from corten.engine.results import Filters, Pruned

if TYPE_CHECKING:
    from corten.api.image import ImageDeleted, ImageHistory, ImageInspect, ImageSummary


class ImageService:
    """Look at, tag, remove, load, save and import images."""

    async def list(
        self,
        *,
        all: bool = False,
        filters: Filters | None = None,
        digests: bool = False,
        shared_size: bool = False,
    ) -> list[ImageSummary]:
        """Filters: before, since, dangling, label, reference, until."""
        raise NotImplementedError

    async def inspect(self, ref: str) -> ImageInspect:
        raise NotImplementedError

    async def history(self, ref: str) -> list[ImageHistory]:
        raise NotImplementedError

    async def tag(self, ref: str, repository: str, tag: str) -> None:
        raise NotImplementedError

    async def remove(self, ref: str, *, force: bool = False, prune: bool = True) -> list[ImageDeleted]:
        raise NotImplementedError

    async def prune(self, filters: Filters | None = None) -> Pruned:
        raise NotImplementedError

    def load(self, stream: AsyncIterator[bytes], *, quiet: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Docker's progress objects ({"stream": "Loaded image: ...\\n"}); errors are raised."""
        raise NotImplementedError

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def import_(
        self,
        stream: AsyncIterator[bytes],
        *,
        repository: str = "",
        tag: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
    ) -> AsyncIterator[dict[str, Any]]:
        raise NotImplementedError

    def bootstrap(self, what: str, *, tag: str = "") -> AsyncIterator[dict[str, Any]]:
        """Makes a base image (`busybox` or `debian`) from the distribution's packages; progress objects."""
        raise NotImplementedError
