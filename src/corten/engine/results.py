"""What the engine's facets return, where it is not a structure of `api` itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a create: the full id, and warnings to show to the caller."""

    id: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended, for those who waited: Docker's {"StatusCode", "Error"}."""

    status_code: int
    error: str = ""


class Waiter:
    """One caller of `wait`: registered before the call returned, so that no exit can be missed."""

    def __init__(self, future: asyncio.Future[Exit]) -> None:
        self._future = future

    async def result(self) -> Exit:
        return await asyncio.shield(self._future)

    def cancel(self) -> None:
        self._future.cancel()


@dataclass(frozen=True, slots=True)
class StdioFds:
    """The client's own stdin, stdout and stderr (stdio.sock): the container gets them directly."""

    stdin: int
    stdout: int
    stderr: int

    def close(self) -> None:
        for descriptor in {self.stdin, self.stdout, self.stderr}:
            os.close(descriptor)


class Attachment:
    """A client's connection on a container's or exec's stdio; the monitor moves the bytes, not the engine."""

    def __init__(self, closed: asyncio.Future[None]) -> None:
        self._closed = closed

    async def wait_closed(self) -> None:
        """Returns when the stream has ended: the process exited, or the client went away or detached."""
        await asyncio.shield(self._closed)


@dataclass(frozen=True, slots=True)
class PathStat:
    """What `docker cp` asks about a path: X-Docker-Container-Path-Stat. `mode` is Go's os.FileMode."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar of a path in a container, with the path's own stat."""

    stat: PathStat
    stream: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of `docker diff`: kind 0 changed, 1 added, 2 deleted."""

    path: str
    kind: int


@dataclass(frozen=True, slots=True)
class Top:
    """`ps` of a container."""

    titles: Sequence[str]
    processes: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune removed (ids or names) and the bytes that came free."""

    removed: tuple[str, ...] = ()
    space_reclaimed: int = 0


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which part of a log. `since` and `until` are nanoseconds since the epoch; `tail` None is everything."""

    stdout: bool = True
    stderr: bool = True
    since: int | None = None
    until: int | None = None
    tail: int | None = None
    follow: bool = False
    timestamps: bool = False
    details: bool = False


@dataclass(frozen=True, slots=True)
class LogStream:
    """A log in Docker's stream form: raw where the container has a terminal, multiplexed otherwise."""

    tty: bool
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """POST /commit."""

    container: str
    repository: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: tuple[str, ...] = ()


Filters = dict[str, list[str]]
"""Docker's filters: key to the values of which one must match (for `label`, all)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as Docker shows it. `time_nano` since the epoch."""

    type: str
    action: str
    actor_id: str
    time_nano: int
    attributes: dict[str, str] = field(default_factory=dict)
    scope: str = "local"
