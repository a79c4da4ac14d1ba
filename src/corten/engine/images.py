"""The images facet: the asynchronous front of `image.ImageStore`; heavy work runs in threads."""

from __future__ import annotations

import asyncio
import builtins
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from msgspec import UNSET

from corten.api.container import ContainerConfig, Healthcheck
from corten.api.image import (
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImageMetadata,
    ImageSummary,
    RootFS,
)
from corten.engine.core import Core
from corten.engine.image_browsing import browse_image
from corten.engine.image_manifests import describe
from corten.engine.progress_line import progress_line
from corten.engine.registry import RegistryService
from corten.engine.results import Filters, Pruned
from corten.engine.timestamp import rfc3339
from corten.errors import InvalidArgument, NotFound
from corten.image.archive_intake import OpenArchive
from corten.image.bootstrap import bootstrap
from corten.image.model import Image, Progress, Removed, Report
from corten.oci.image_config import ImageRunConfig
from corten.oci.platform import Platform

_PIECE = 1 << 20


class ImageService:
    """Look at, tag, remove, load, save and import images."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.registry = RegistryService(core)
        self.removed: Callable[[], None] = lambda: None

    async def list(
        self,
        *,
        all: bool = False,
        filters: Filters | None = None,
        digests: bool = False,
        shared_size: bool = False,
        manifests: bool = False,
    ) -> builtins.list[ImageSummary]:
        """Filters: before, since, dangling, label, reference, until."""
        images = await asyncio.to_thread(self._core.images.list, filters, all=all)
        shared: dict[str, int] = {}
        if shared_size:
            usage = await asyncio.to_thread(self._core.images.disk_usage)
            shared = {item.image.id: item.shared for item in usage.images}
        summaries = [self._summary(image, shared.get(image.id, -1)) for image in images]
        if manifests:
            for image, summary in zip(images, summaries, strict=True):
                described = await asyncio.to_thread(describe, self._core.images, image)
                summary.descriptor, summary.manifests = described.target, builtins.list(described.manifests)
        return summaries

    def _summary(self, image: Image, shared: int = -1, containers: int = -1) -> ImageSummary:
        return ImageSummary(
            id=image.id,
            parent_id=image.parent,
            repo_tags=list(image.repo_tags),
            repo_digests=list(image.repo_digests),
            created=image.created // 1_000_000_000,
            size=image.size,
            shared_size=shared,
            labels=image.config.run.labels,
            containers=containers,
        )

    async def inspect(self, ref: str, *, manifests: bool = False) -> ImageInspect:
        """`manifests`: one for every platform that the name stands for."""
        image = self._core.images.resolve(ref)
        config = image.config
        described = await asyncio.to_thread(describe, self._core.images, image, ref) if manifests else None
        return ImageInspect(
            descriptor=described.target if described is not None else image.manifest,
            manifests=builtins.list(described.manifests) if described is not None else UNSET,
            variant=config.variant or UNSET,
            id=image.id,
            repo_tags=list(image.repo_tags),
            repo_digests=list(image.repo_digests),
            parent=image.parent,
            comment=image.comment,
            created=rfc3339(image.created),
            docker_version=config.docker_version or "",
            author=config.author or "",
            config=container_config(config.run),
            architecture=config.architecture,
            os=config.os or "linux",
            size=image.size,
            root_fs=RootFS(layers=[str(digest) for digest in config.diff_ids]),
            metadata=ImageMetadata(last_tag_time=rfc3339(image.last_tagged)),
        )

    async def history(self, ref: str) -> builtins.list[ImageHistoryItem]:
        items = await asyncio.to_thread(self._core.images.history, ref)
        return [
            ImageHistoryItem(
                id=item.id or "<missing>",
                created=item.created // 1_000_000_000,
                created_by=item.created_by,
                tags=list(item.tags) or None,
                size=item.size,
                comment=item.comment,
            )
            for item in items
        ]

    async def tag(self, ref: str, repository: str, tag: str) -> None:
        image = self._core.images.tag(ref, repository, tag)
        name = f"{repository}:{tag}" if tag else repository
        self._core.events.publish("image", "tag", image.id, {"name": name})

    async def remove(
        self, ref: str, *, force: bool = False, prune: bool = True
    ) -> builtins.list[ImageDeleteItem]:
        removed = await asyncio.to_thread(self._core.images.remove, ref, force=force, prune=prune)
        self._tell_removed(removed)
        return [
            ImageDeleteItem(deleted=item.deleted) if item.deleted else ImageDeleteItem(untagged=item.untagged)
            for item in removed
        ]

    def _tell_removed(self, removed: Sequence[Removed]) -> None:
        for item in removed:
            if item.deleted:
                self._core.events.publish("image", "delete", item.deleted, {"name": item.deleted})
            else:
                self._core.events.publish("image", "untag", item.untagged, {"name": item.untagged})
        self.removed()

    async def prune(self, filters: Filters | None = None) -> Pruned:
        """Dangling images; with the filter dangling=false every unused one."""
        pruned = await asyncio.to_thread(self._core.images.prune, filters=filters)
        self._tell_removed(pruned.removed)
        self._core.events.publish("image", "prune", "", {"reclaimed": str(pruned.reclaimed)})
        return Pruned(tuple(item.deleted or item.untagged for item in pruned.removed), pruned.reclaimed)

    async def load(
        self, source: AsyncIterator[bytes] | int, *, quiet: bool = False, platform: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """Docker's progress objects ({"stream": "Loaded image: ...\\n"}); errors are raised. `source` may be
        the descriptor of an archive, which is read from where it stands, and stays the caller's."""
        chosen = Platform.parse(platform) if platform else None
        archive = _open_archive(source) if isinstance(source, int) else None
        work = _Work(None if isinstance(source, int) else source)
        if archive is not None:
            work.given_up = archive.given_up
        async for progress in work.run(
            lambda read, report: self._core.images.load(archive or read, platform=chosen, report=report)
        ):
            if not quiet:
                yield progress_line(progress)
        for loaded in work.result:
            self._core.events.publish(
                "image", "load", loaded.id, {"name": next(iter(loaded.names), loaded.id)}
            )
            for name in loaded.names:
                yield {"stream": f"Loaded image: {name}\n"}
            if not loaded.names:
                yield {"stream": f"Loaded image ID: {loaded.id}\n"}

    async def save(self, refs: Sequence[str], *, platform: str = "") -> AsyncIterator[bytes]:
        """A docker-archive of `refs`; what is wrong with them is raised before the stream begins: NotFound
        for one that is here for another `platform`."""
        images = [self._core.images.resolve(ref) for ref in refs]
        wanted = Platform.parse(platform).normalized() if platform else None
        for ref, image in zip(refs, images, strict=True):
            own = image.config.platform.normalized()
            if wanted is not None and own != wanted:
                raise NotFound(
                    f"image {ref} is here for {own}, not for {wanted}: pull it with --platform {wanted}"
                )
        for ref, image in zip(refs, images, strict=True):
            self._core.events.publish("image", "save", image.id, {"name": ref})
        return self._save(list(refs))

    async def _save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()

        def write() -> None:
            with theirs, theirs.makefile("wb", buffering=_PIECE) as sink:
                self._core.images.save(refs, sink)

        work = asyncio.create_task(asyncio.to_thread(write))
        try:
            while piece := await loop.sock_recv(ours, _PIECE):
                yield piece
            await work
        finally:
            ours.close()
            await asyncio.wait({work})
            if not work.cancelled():
                work.exception()

    async def import_(
        self,
        stream: AsyncIterator[bytes],
        *,
        repository: str = "",
        tag: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
    ) -> AsyncIterator[dict[str, Any]]:
        """Makes an image of a root file system's tar; the last object is {"status": <id>}."""
        chosen = Platform.parse(platform) if platform else None
        work = _Work(stream)
        async for progress in work.run(
            lambda read, report: self._core.images.import_(
                read,
                repository=repository,
                tag=tag,
                message=message,
                changes=changes,
                platform=chosen,
                report=report,
            )
        ):
            yield progress_line(progress)
        loaded = work.result
        name = next(iter(loaded.names), loaded.id)
        self._core.events.publish("image", "import", loaded.id, {"name": name})
        yield {"status": loaded.id}

    async def bootstrap(self, what: str, *, tag: str = "") -> AsyncIterator[dict[str, Any]]:
        """Makes a base image (`busybox` or `debian`) from the distribution's packages; progress objects."""
        work = _Work(None)
        async for progress in work.run(
            lambda read, report: bootstrap(self._core.images, what, name=tag, report=report)
        ):
            yield progress_line(progress)
        loaded = work.result
        name = next(iter(loaded.names), loaded.id)
        self._core.events.publish("image", "import", loaded.id, {"name": name})
        yield {"stream": f"Made image: {name}\n", "aux": {"ID": loaded.id}}

    def browse(self, ref: str, path: str, *, deleted: bool = False) -> AsyncIterator[bytes]:
        """The image's files and their layers, as JSON lines: see `image_browsing.browse_image`."""
        return browse_image(self._core, ref, path, deleted=deleted)

    async def usage(self) -> tuple[int, builtins.list[ImageSummary]]:
        """For `system df`: bytes of all layers, and the images with what they share."""
        usage = await asyncio.to_thread(self._core.images.disk_usage)
        return usage.layers_size, [
            self._summary(item.image, item.shared, item.containers) for item in usage.images
        ]


def _open_archive(fd: int) -> OpenArchive:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise InvalidArgument("the archive that was handed over is no regular file: send what it holds")
    return OpenArchive(fd, os.lseek(fd, 0, os.SEEK_CUR), threading.Event())


class _Reader:
    """A blocking `read` over a socket's descriptor."""

    def __init__(self, connection: socket.socket) -> None:
        self._fd = connection.fileno()

    def read(self, size: int = -1, /) -> bytes:
        return os.read(self._fd, _PIECE if size < 0 else size)


class _Work:
    """Blocking work in a thread that reads an upload and reports its progress."""

    def __init__(self, stream: AsyncIterator[bytes] | None) -> None:
        self._stream = stream
        self.result: Any = None
        self.given_up = threading.Event()

    async def run(self, function: Callable[[Any, Report], Any]) -> AsyncIterator[Progress]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Progress | None] = asyncio.Queue()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, progress)

        def work() -> Any:
            try:
                return function(_Reader(theirs), report)
            finally:
                # Whoever still sends to us is told by this that nobody reads any more.
                theirs.close()
                loop.call_soon_threadsafe(queue.put_nowait, None)

        feeder = asyncio.create_task(self._feed(ours))
        worker = asyncio.create_task(asyncio.to_thread(work))
        try:
            while (progress := await queue.get()) is not None:
                yield progress
            self.result = await worker
        finally:
            self.given_up.set()
            feeder.cancel()
            failed = await asyncio.gather(feeder, return_exceptions=True)
            ours.close()
            await asyncio.wait({worker})
            if not worker.cancelled():
                worker.exception()
        if isinstance(failed[0], Exception) and not isinstance(failed[0], OSError):
            raise failed[0]

    async def _feed(self, ours: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._stream is not None:
                async for piece in self._stream:
                    await loop.sock_sendall(ours, piece)
            ours.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception:
            ours.shutdown(socket.SHUT_WR)
            raise


def container_config(run: ImageRunConfig) -> ContainerConfig:
    """An image's config in the API's form."""
    check = run.healthcheck
    return ContainerConfig(
        hostname=run.hostname,
        domainname=run.domainname,
        user=run.user,
        exposed_ports=run.exposed_ports,
        env=run.env,
        cmd=run.cmd,
        entrypoint=run.entrypoint,
        volumes=run.volumes,
        working_dir=run.working_dir,
        labels=run.labels,
        stop_signal=run.stop_signal or "",
        stop_timeout=run.stop_timeout,
        shell=run.shell,
        on_build=run.on_build,
        healthcheck=Healthcheck(
            test=check.test or [],
            interval=check.interval,
            timeout=check.timeout,
            start_period=check.start_period,
            start_interval=check.start_interval,
            retries=check.retries,
        )
        if check
        else None,
    )
