"""Deletion in the background: a directory is renamed away at once, and emptied later.

The rename is what a caller waits for (microseconds); the deletion of thousands of files is not. What a crash
leaves in the trash, the next start deletes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from itertools import count
from pathlib import Path

_QUIET = 0.25  # seconds without a discard: deleting takes a processor and the interpreter's lock from a start
_FULL = 512  # that many are deleted at once, quiet or not


class Trash:
    """A directory on the same file system as what is thrown away. Emptied when it is quiet, or full."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._count = count()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._last = 0.0
        self._waiting = 0

    def discard(self, path: Path) -> None:
        """Takes `path` away at once (nothing happens when it does not exist) and deletes it soon."""
        try:
            os.rename(path, f"{self._directory}/{os.getpid()}-{next(self._count)}-{path.name}")
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            shutil.rmtree(path, ignore_errors=True)  # no room even for a name
            return
        self.schedule()

    def schedule(self) -> None:
        """Empties the trash soon."""
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        self._waiting += 1
        if self._task is None and not self._closed:
            self._task = loop.create_task(self._empty_later())

    async def _empty_later(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting < _FULL and (left := self._last + _QUIET - loop.time()) > 0:
            await asyncio.sleep(min(left, 0.1))
        self._waiting = 0
        await asyncio.to_thread(self.empty)
        self._task = None
        if os.listdir(self._directory):
            self.schedule()

    def empty(self) -> None:
        """Deletes everything in it; what cannot be deleted now stays for the next time."""
        for entry in list(os.scandir(self._directory)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)

    async def close(self) -> None:
        """Waits for a deletion that is under way and deletes the rest."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await asyncio.to_thread(self.empty)
