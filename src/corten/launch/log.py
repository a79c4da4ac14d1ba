"""Read a container's log back (`log_format` says what is in the file)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from corten.launch.log_format import (
    HEADER,
    OVERHEAD,
    intact_size,
    last_record,
    rotated,
)
from corten.launch.log_lines import Formatter, LineCounter, LogQuery, Record, parse
from corten.linux.inotify import IN_CREATE, IN_MODIFY, IN_MOVED_FROM, Inotify

__all__ = ["EVERYTHING", "LogQuery", "LogReader"]

CHUNK = 1 << 20
_FIRST_BLOCK = 65536
_POLL = 0.25  # follow looks this often even if inotify says nothing (its queue may overflow)
EVERYTHING = LogQuery()


class LogReader:
    """The log at `path`, with its rotated files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self) -> list[Path]:
        """The files of this log, oldest first (to remove them, or to count their bytes)."""
        found: list[Path] = []
        number = 0
        while number == 0 or found:
            path = Path(rotated(os.fspath(self.path), number))
            if not path.exists():
                if number:
                    break
            else:
                found.append(path)
            number += 1
        return found[::-1]

    def read(self, query: LogQuery = EVERYTHING) -> Iterator[bytes]:
        """Everything that is there now, in chunks of about 1 MiB, ready to be sent. Blocks on disk only.

        The first piece is empty, as with `follow`."""
        cursor = _Cursor(os.fspath(self.path), query)
        try:
            yield b""
            while True:
                chunk = cursor.next_chunk()
                if not chunk:
                    return
                yield chunk
        finally:
            cursor.close()

    async def follow(self, query: LogQuery, ended: asyncio.Event) -> AsyncGenerator[bytes, None]:
        """What `read` gives and then what comes, until `ended` is set and all that was written is read.

        `ended`: that nobody will write any more (the container has exited). A query with `until_ns` ends by
        itself. The first piece is empty: the log is open, and what is in it will be read even if it is
        removed before.
        """
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        cursor = _Cursor(os.fspath(self.path), query)
        inotify = Inotify()
        loop.add_reader(inotify.fd, _note, inotify, changed)
        finished = loop.create_task(ended.wait())
        try:
            # The directory: a rotation replaces the file.
            with contextlib.suppress(FileNotFoundError):  # removed together with the log
                inotify.add_watch(os.fspath(self.path.parent), IN_MODIFY | IN_CREATE | IN_MOVED_FROM)
            yield b""
            while True:
                changed.clear()
                is_last = ended.is_set()
                while chunk := cursor.next_chunk():
                    yield chunk
                    await asyncio.sleep(0)
                if is_last or cursor.is_past_end or (query.until_ns and time.time_ns() > query.until_ns):
                    return
                woken = loop.create_task(changed.wait())
                await asyncio.wait({woken, finished}, timeout=_POLL, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
        finally:
            finished.cancel()
            loop.remove_reader(inotify.fd)
            inotify.close()
            cursor.close()


class _Cursor:
    """A place in a log that moves forward, from file to file, and formats what it passes."""

    def __init__(self, path: str, query: LogQuery) -> None:
        self._path = path
        self._query = query
        self._format = Formatter(query)
        self._fds = _open_chain(path)
        self._buffer = b""
        self._block = _FIRST_BLOCK
        self._offset = 0  # in the file self._fds[0], of the end of self._buffer
        self.is_past_end = False
        if query.tail is not None:
            self._seek_tail(query.tail)
        elif query.since_ns:
            while len(self._fds) > 1 and _last_time(self._fds[0]) < query.since_ns:
                os.close(self._fds.pop(0))

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def next_chunk(self) -> bytes:
        """The next formatted bytes; b"" when there is nothing more now."""
        while not self.is_past_end:
            if not self._fds:
                self._fds = _open_chain(self._path)
                if not self._fds:
                    return b""
            records = self._next_records()
            if records:
                chunk = self._format.format(records)
                self.is_past_end = self._format.is_past_end
                if chunk:
                    return chunk
            elif not self._next_file():
                return b""
        return b""

    def _next_records(self) -> list[Record]:
        """The whole records of the next block of the current file; none: nothing more in it now."""
        while True:
            block = os.pread(self._fds[0], self._block, self._offset)
            if not block:
                return []
            self._block = CHUNK
            self._offset += len(block)
            data = self._buffer + block if self._buffer else block
            records, rest = parse(data)
            self._buffer = data[rest:]
            if records:
                return records
            if len(self._buffer) >= HEADER.size:
                wanted = HEADER.unpack_from(self._buffer)[3] + OVERHEAD
                self._block = max(CHUNK, wanted - len(self._buffer))

    def _next_file(self) -> bool:
        """Go on to the file that came after this one, if there is one and this one is read to its end."""
        if len(self._fds) == 1:
            current = os.fstat(self._fds[0])
            try:
                newest = os.stat(self._path)
            except FileNotFoundError:
                return False
            if newest.st_ino == current.st_ino:
                return False
            chain = _open_chain(self._path)
            # Rotated while we read: what was opened holds on to the old file; find what came after it. If it
            # is gone from the chain altogether, everything there is newer.
            names = [os.fstat(fd).st_ino for fd in chain]
            keep = names.index(current.st_ino) + 1 if current.st_ino in names else 0
            for fd in chain[:keep]:
                os.close(fd)
            self._fds += chain[keep:]
            if os.fstat(self._fds[0]).st_size > self._offset:
                return True  # the last of it was written after the look that found nothing
        if len(self._fds) == 1:
            return False
        os.close(self._fds.pop(0))
        self._offset = 0
        self._buffer = b""
        return True

    def _seek_tail(self, lines: int) -> None:
        """Go to where the last `lines` lines of the wanted streams begin."""
        counter = LineCounter(lines, self._query.streams())
        for index in range(len(self._fds) - 1, -1, -1):
            fd = self._fds[index]
            end = intact_size(fd)
            while end > 0 and not counter.is_full:
                start = last_record(fd, end)
                if start < 0:
                    break
                record = os.pread(fd, end - start, start)
                _magic, flags, _zero, length, _time = HEADER.unpack_from(record)
                counter.count(flags, record[HEADER.size : HEADER.size + length])
                end = start
            if counter.is_full or index == 0:
                for old in self._fds[:index]:
                    os.close(old)
                self._fds = self._fds[index:]
                self._offset = end
                if counter.is_full:
                    self._format.skip(counter.skip)
                return


def _open_chain(path: str) -> list[int]:
    """Descriptors of the log's files, oldest first, as of one moment (not torn by a rotation)."""
    while True:
        fds: list[int] = []
        number = 0
        while True:
            try:
                fds.append(os.open(rotated(path, number), os.O_RDONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                break
            number += 1
        fds.reverse()
        try:
            unchanged = not fds or os.stat(path).st_ino == os.fstat(fds[-1]).st_ino
        except FileNotFoundError:
            unchanged = False
        if unchanged:
            return fds
        for fd in fds:
            os.close(fd)


def _note(inotify: Inotify, changed: asyncio.Event) -> None:
    inotify.drain()
    changed.set()


def _last_time(fd: int) -> int:
    start = last_record(fd, intact_size(fd))
    return HEADER.unpack(os.pread(fd, HEADER.size, start))[4] if start >= 0 else 0
