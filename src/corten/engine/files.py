"""Files of a container: cp, export, diff. Through /proc/<pid>/root while it runs, else in a worker's view."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from corten.engine.core import Core
from corten.engine.launching import Launching
from corten.engine.record import Container
from corten.engine.results import Archive, Change, PathStat
from corten.errors import InvalidArgument
from corten.snapshot import archive
from corten.snapshot.diff import changes
from corten.snapshot.view import run_in_view

_PIECE = 1 << 20


class Files:
    """Reads and writes the trees of containers."""

    def __init__(self, core: Core, launching: Launching) -> None:
        self._core = core
        self._launching = launching

    async def changes(self, container: Container) -> list[Change]:
        upper = str(self._core.paths.container(container.id) / "upper")
        found = await asyncio.to_thread(changes, upper, self._launching.lowers(container))
        mounted = {mount.destination for mount in container.definition.mounts}
        return [Change(change.path, change.kind) for change in found if change.path not in mounted]

    async def stat(self, container: Container, path: str) -> PathStat:
        return _stat(await asyncio.to_thread(self._call, container, "stat_path", path))

    async def get(self, container: Container, path: str) -> Archive:
        """Looked at first: a path that does not exist is told before the stream begins."""
        stat = await self.stat(container, path)
        return Archive(stat, self._stream(container, "pack_path", path))

    def export(self, container: Container) -> AsyncIterator[bytes]:
        return self._stream(container, "pack_tree")

    async def put(
        self,
        container: Container,
        path: str,
        stream: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool,
        copy_uid_gid: bool,
    ) -> None:
        if container.host_config.readonly_rootfs and not _on_mount(container, path):
            raise InvalidArgument("container rootfs is marked read-only")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        options = {
            "no_overwrite_dir_non_dir": no_overwrite_dir_non_dir,
            "copy_uid_gid": copy_uid_gid,
            "user": container.config.user or "",
        }
        work = asyncio.create_task(
            asyncio.to_thread(self._call_with_fd, container, theirs, "unpack_path", path, **options)
        )
        try:
            async for piece in stream:
                send = asyncio.create_task(asyncio.get_running_loop().sock_sendall(ours, piece))
                await asyncio.wait({send, work}, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    send.cancel()
                    await asyncio.gather(send, return_exceptions=True)
                    break
                await send
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            ours.close()
            await asyncio.wait({work})
        work.result()

    async def _stream(self, container: Container, function: str, *args: Any) -> AsyncIterator[bytes]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(asyncio.to_thread(self._call_with_fd, container, theirs, function, *args))
        try:
            while piece := await loop.sock_recv(ours, _PIECE):
                yield piece
            await work
        finally:
            # A client that went away: the worker finds the socket closed and ends.
            ours.close()
            await asyncio.wait({work})
            if not work.cancelled():
                work.exception()

    def _call_with_fd(
        self, container: Container, theirs: socket.socket, function: str, *args: Any, **options: Any
    ) -> Any:
        try:
            return self._call(container, function, *args, fd=theirs.fileno(), **options)
        finally:
            theirs.close()

    def _call(self, container: Container, function: str, *args: Any, fd: int = -1, **options: Any) -> Any:
        if container.state.status.has_process and (root := _open_root(container.state.pid)) is not None:
            try:
                return _call_here(function, root, *args, fd=fd, **options)
            finally:
                os.close(root)
        directory = self._core.paths.container(container.id)
        return run_in_view(
            self._launching.lowers(container),
            str(directory / "upper"),
            str(directory / "work"),
            function,
            *args,
            *options.values(),
            fds=[fd] if fd >= 0 else [],
            readonly=function != "unpack_path",
        )


def _open_root(pid: int) -> int | None:
    try:
        return os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _call_here(function: str, root: int, *args: Any, fd: int, **options: Any) -> Any:
    work: Callable[..., Any] = getattr(archive, function)
    if fd < 0:
        return work(root, *args)
    with open(fd, "r+b", buffering=0, closefd=False) as stream:
        if function == "unpack_path":
            return work(root, *args, stream.read, **options)
        return work(root, *args, _write_all(stream.write))


def _write_all(write: Callable[[bytes | memoryview], int | None]) -> Callable[[bytes | memoryview], None]:
    """A raw write may take only a part."""

    def write_all(data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[write(view) or 0 :]

    return write_all


def _stat(stat: archive.PathStat) -> PathStat:
    return PathStat(stat.name, stat.size, stat.mode, stat.mtime, stat.link_target)


def _on_mount(container: Container, path: str) -> bool:
    return any(
        mount.rw and (path == mount.destination or path.startswith(mount.destination + "/"))
        for mount in container.definition.mounts
    )
