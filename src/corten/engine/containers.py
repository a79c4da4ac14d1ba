"""The containers facet: everything that the API says about containers, by name, id or unique prefix of an id.

Every method raises `corten.errors`: NotFound for an unknown reference, Conflict for a state that forbids the
operation, InvalidArgument for a bad request, NotModified where Docker answers 304.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import AsyncIterator

from corten.api.container import (
    ContainerConfig,
    ContainerCreate,
    ContainerInspect,
    ContainerSummary,
)
from corten.api.host_config import ContainerUpdate
from corten.api.stats import ContainerStats
from corten.engine import waiting
from corten.engine.commit import commit
from corten.engine.core import Core
from corten.engine.create import Creation
from corten.engine.files import Files
from corten.engine.inspection import Inspection
from corten.engine.launching import Launching
from corten.engine.lifecycle import Lifecycle
from corten.engine.listing import Listing
from corten.engine.removal import Removal
from corten.engine.results import (
    Archive,
    Attachment,
    Change,
    CommitOptions,
    Created,
    Filters,
    LogQuery,
    LogStream,
    PathStat,
    Pruned,
    StdioFds,
    Top,
    Waiter,
)
from corten.engine.stats import Sampling
from corten.engine.streams import Streams
from corten.engine.top import top
from corten.engine.update import update
from corten.errors import Conflict, InvalidArgument


class ContainerService:
    """Create, run and look at containers."""

    def __init__(self, core: Core, launching: Launching, lifecycle: Lifecycle, removal: Removal) -> None:
        self._core = core
        self._lifecycle = lifecycle
        self._removal = removal
        self._creation = Creation(core)
        self._inspection = Inspection(core, launching)
        self._listing = Listing(core, self._inspection)
        self._files = Files(core, launching)
        self._streams = Streams(core, lifecycle)
        self._sampling = Sampling(core)
        self._launching = launching

    async def create(
        self, request: ContainerCreate, *, name: str | None = None, stdio: StdioFds | None = None
    ) -> Created:
        """Validates `request` and makes a container of it; nothing runs yet.

        `stdio`: the client's own descriptors; the engine owns (and closes) them from here on.
        """
        try:
            return await self._creation.create(request, name, stdio)
        except BaseException:
            if stdio is not None:
                stdio.close()
            raise

    async def start(self, ref: str) -> None:
        """Starts it; returns when its process has exec'ed. NotModified when it runs already."""
        await self._lifecycle.start(self._core.catalog.resolve(ref))

    async def stop(self, ref: str, *, signal: str | None = None, timeout: int | None = None) -> None:
        """Stop signal, then after `timeout` seconds (-1: never) SIGKILL. NotModified when it does not run."""
        await self._lifecycle.stop(self._core.catalog.resolve(ref), signal, timeout)

    async def kill(self, ref: str, signal: str = "SIGKILL") -> None:
        """Sends a signal (name with or without SIG, or number) to the container's process."""
        await self._lifecycle.kill(self._core.catalog.resolve(ref), signal)

    async def restart(self, ref: str, *, signal: str | None = None, timeout: int | None = None) -> None:
        """Stops it where it runs, and starts it."""
        await self._lifecycle.restart(self._core.catalog.resolve(ref), signal, timeout)

    async def pause(self, ref: str) -> None:
        await self._lifecycle.pause(self._core.catalog.resolve(ref))

    async def unpause(self, ref: str) -> None:
        await self._lifecycle.unpause(self._core.catalog.resolve(ref))

    async def remove(
        self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Removes it; `force` kills it first; `volumes` removes its anonymous volumes as well."""
        if link:
            raise InvalidArgument("links are not supported: there is none to remove")
        await self._removal.remove(self._core.catalog.resolve(ref), force=force, volumes=volumes)

    async def rename(self, ref: str, name: str) -> None:
        container = self._core.catalog.resolve(ref)
        name = name.removeprefix("/")
        if not name:
            raise InvalidArgument("Neither old nor new names may be empty")
        if name == container.name:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        self._core.catalog.check_name(name)
        async with container.lock:
            if container.removal:
                raise Conflict(f"container {container.id} is being removed")
            self._core.catalog.check_name(name)
            old = container.name
            self._core.catalog.rename(container, name)
        self._core.publish(container, "rename", oldName=f"/{old}")

    async def update(self, ref: str, request: ContainerUpdate) -> builtins.list[str]:
        """Changes limits and restart policy, of a running container as well; returns warnings."""
        return await update(self._core, self._core.catalog.resolve(ref), request)

    def wait(self, ref: str, condition: str = "not-running") -> Waiter:
        """Registers a waiter at once (synchronously); `condition` is not-running, next-exit or removed."""
        return waiting.register(self._core.catalog.resolve(ref), condition)

    async def inspect(self, ref: str, *, size: bool = False) -> ContainerInspect:
        return await self._inspection.inspect(self._core.catalog.resolve(ref), size=size)

    async def list(
        self,
        *,
        all: bool = False,
        limit: int | None = None,
        size: bool = False,
        filters: Filters | None = None,
    ) -> builtins.list[ContainerSummary]:
        return await self._listing.select(all=all, limit=limit, size=size, filters=filters)

    async def top(self, ref: str, ps_args: str = "-ef") -> Top:
        return await top(self._core, self._core.catalog.resolve(ref), ps_args)

    async def stats(
        self, ref: str, *, stream: bool = True, one_shot: bool = False
    ) -> AsyncIterator[ContainerStats]:
        """Docker's stats objects, one a second, or exactly one."""
        return self._sampling.stats(self._core.catalog.resolve(ref), stream=stream, one_shot=one_shot)

    async def changes(self, ref: str) -> builtins.list[Change]:
        return await self._files.changes(self._core.catalog.resolve(ref))

    async def archive_stat(self, ref: str, path: str) -> PathStat:
        return await self._files.stat(self._core.catalog.resolve(ref), path)

    async def archive_get(self, ref: str, path: str) -> Archive:
        return await self._files.get(self._core.catalog.resolve(ref), path)

    async def archive_put(
        self,
        ref: str,
        path: str,
        stream: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        await self._files.put(
            self._core.catalog.resolve(ref),
            path,
            stream,
            no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
            copy_uid_gid=copy_uid_gid,
        )

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """The whole root file system as a tar."""
        return self._files.export(self._core.catalog.resolve(ref))

    async def attach(
        self,
        ref: str,
        fd: int,
        *,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        logs: bool = False,
        stream: bool = True,
        detach_keys: str | None = None,
    ) -> Attachment:
        """Hands the client's connection (`fd`: dup'ed by the caller, owned by the engine from here on) over.

        On a container that was only created the connection waits: it is attached before the start.
        The caller must have sent the 101 answer before.
        """
        try:
            container = self._core.catalog.resolve(ref)
        except BaseException:
            os.close(fd)
            raise
        return await self._streams.attach(
            container,
            fd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            logs=logs,
            stream=stream,
            detach_keys=detach_keys,
        )

    async def check_attach(self, ref: str) -> bool:
        """Raises what an attach would raise (call it before answering 101); True when it has a terminal."""
        return self._streams.check_attach(self._core.catalog.resolve(ref))

    async def resize(self, ref: str, *, height: int, width: int) -> None:
        await self._streams.resize(self._core.catalog.resolve(ref), height, width)

    async def logs(self, ref: str, query: LogQuery) -> LogStream:
        return await self._streams.logs(self._core.catalog.resolve(ref), query)

    async def prune(self, filters: Filters | None = None) -> Pruned:
        return await self._removal.prune(filters)

    async def commit(self, options: CommitOptions, config: ContainerConfig | None = None) -> str:
        """Makes an image of the container; `config` overrides what it runs with. Returns the image's id."""
        container = self._core.catalog.resolve(options.container)
        return await commit(self._core, self._lifecycle, self._launching, container, options, config)
