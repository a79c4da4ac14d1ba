"""Deletion in the background: a directory is renamed away at once, and emptied later.

The rename is what a caller waits for (microseconds); the deletion of thousands of files is not. What a crash
leaves in the trash, the next start deletes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from itertools import count
from pathlib import Path

_DELAY = 0.1


class Trash:
    """A directory on the same file system as what is thrown away."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._count = count()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def discard(self, path: Path) -> None:
        """Takes `path` away at once (nothing happens when it does not exist) and deletes it soon."""
        try:
            os.rename(path, f"{self._directory}/{os.getpid()}-{next(self._count)}-{path.name}")
        except FileNotFoundError:
            return
        self.schedule()

    def schedule(self) -> None:
        """Empties the trash soon."""
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._empty_later())

    async def _empty_later(self) -> None:
        await asyncio.sleep(_DELAY)
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
