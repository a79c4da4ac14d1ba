"""The containers facet: everything that the API says about containers, by name, id or unique prefix of an id.

Every method raises `corten.errors`: NotFound for an unknown reference, Conflict for a state that forbids the
operation, InvalidArgument for a bad request, NotModified where Docker answers 304.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from corten.api.container import (
        ContainerCreate,
        ContainerInspect,
        ContainerSummary,
        ContainerUpdate,
    )


class ContainerService:
    """Create, run and look at containers."""

    async def create(
        self, request: ContainerCreate, *, name: str | None = None, stdio: StdioFds | None = None
    ) -> Created:
        """Validates `request` and makes a container of it; nothing runs yet.

        `stdio`: the client's own descriptors; the engine owns (and closes) them from here on.
        """
        raise NotImplementedError

    async def start(self, ref: str) -> None:
        """Starts it; returns when its process has exec'ed. NotModified when it runs already."""
        raise NotImplementedError

    async def stop(self, ref: str, *, signal: str | None = None, timeout: int | None = None) -> None:
        """Stop signal, then after `timeout` seconds (-1: never) SIGKILL. NotModified when it does not run."""
        raise NotImplementedError

    async def kill(self, ref: str, signal: str = "SIGKILL") -> None:
        """Sends a signal (name with or without SIG, or number) to the container's process."""
        raise NotImplementedError

    async def restart(self, ref: str, *, signal: str | None = None, timeout: int | None = None) -> None:
        raise NotImplementedError

    async def pause(self, ref: str) -> None:
        raise NotImplementedError

    async def unpause(self, ref: str) -> None:
        raise NotImplementedError

    async def remove(
        self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Removes it; `force` kills it first; `volumes` removes its anonymous volumes as well."""
        raise NotImplementedError

    async def rename(self, ref: str, name: str) -> None:
        raise NotImplementedError

    async def update(self, ref: str, request: ContainerUpdate) -> list[str]:
        """Changes limits and restart policy, of a running container as well; returns warnings."""
        raise NotImplementedError

    def wait(self, ref: str, condition: str = "not-running") -> Waiter:
        """Registers a waiter at once (synchronously); `condition` is not-running, next-exit or removed."""
        raise NotImplementedError

    async def inspect(self, ref: str, *, size: bool = False) -> ContainerInspect:
        raise NotImplementedError

    async def list(
        self,
        *,
        all: bool = False,
        limit: int | None = None,
        size: bool = False,
        filters: Filters | None = None,
    ) -> list[ContainerSummary]:
        raise NotImplementedError

    async def top(self, ref: str, ps_args: str = "-ef") -> Top:
        raise NotImplementedError

    async def stats(self, ref: str, *, stream: bool = True, one_shot: bool = False) -> AsyncIterator[Any]:
        """Docker's stats objects (api.container.ContainerStats), one a second, or exactly one."""
        raise NotImplementedError

    async def changes(self, ref: str) -> list[Change]:
        raise NotImplementedError

    async def archive_stat(self, ref: str, path: str) -> PathStat:
        raise NotImplementedError

    async def archive_get(self, ref: str, path: str) -> Archive:
        raise NotImplementedError

    async def archive_put(
        self,
        ref: str,
        path: str,
        stream: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        raise NotImplementedError

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """The whole root file system as a tar."""
        raise NotImplementedError

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

        On a container that was only created the connection waits, and is attached before its first instruction.
        The caller must have sent the 101 answer before.
        """
        raise NotImplementedError

    async def check_attach(self, ref: str) -> bool:
        """Raises what an attach would raise (call it before answering 101); True when it has a terminal."""
        raise NotImplementedError

    async def resize(self, ref: str, *, height: int, width: int) -> None:
        raise NotImplementedError

    async def logs(self, ref: str, query: LogQuery) -> LogStream:
        raise NotImplementedError

    async def prune(self, filters: Filters | None = None) -> Pruned:
        raise NotImplementedError

    async def commit(self, options: CommitOptions, config: Any | None = None) -> str:
        """Makes an image of the container; `config` (api.container.ContainerConfig) overrides. Returns its id."""
        raise NotImplementedError
