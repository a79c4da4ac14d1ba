"""Read a container's log back (see log_format for what is in the file)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to read: Docker's parameters of `logs`.

    `since_ns`, `until_ns`: Unix time in nanoseconds (0: no bound). `tail`: the last so many lines (None: all).
    `timestamps`: RFC3339Nano and a blank before each line. `mux`: in Docker's frames (8-byte headers); without,
    the raw bytes of both streams, as for a container with a terminal.
    """

    since_ns: int = 0
    until_ns: int = 0
    tail: int | None = None
    timestamps: bool = False
    stdout: bool = True
    stderr: bool = True
    mux: bool = True


class LogReader:
    """The log at `path`, with its rotated files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, query: LogQuery = LogQuery()) -> Iterator[bytes]:
        """Everything that is there now, in chunks of up to about 1 MiB, ready to be sent. Blocks on disk only."""
        raise NotImplementedError

    def follow(self, query: LogQuery, ended: asyncio.Event) -> AsyncIterator[bytes]:
        """What `read` gives and then what comes, until `ended` is set and all that was written is read."""
        raise NotImplementedError

    def files(self) -> list[Path]:
        """The files of this log, oldest first (to remove them, or to count their bytes)."""
        raise NotImplementedError
