"""Files opened ahead of those that are read: the disk can then read several at the same time, however small
they are."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from corten.build.context.beneath import Directories, explain, open_file
from corten.build.context.seen_file import SeenFile

T = TypeVar("T")

_AHEAD = 64
_WHOLE = 1 << 20  # larger files are read ahead by the kernel as they are read


def open_seen(directories: Directories, directory: str, seen: SeenFile, tree: str) -> int:
    """Opens a file that a walk saw in the tree with this name; what goes wrong is an error that names it."""
    try:
        fd = open_file(directories(directory), seen.name)
    except OSError as error:
        raise explain(error, f"{directory}/{seen.name}" if directory else seen.name, tree) from error
    if seen.size <= _WHOLE:
        with contextlib.suppress(OSError):  # a pipe has taken its place
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    return fd


def opened_ahead(
    items: Iterable[T], open_item: Callable[[T], int | None]
) -> Generator[tuple[T, int | None], None, None]:
    """Each item with the descriptor that `open_item` gives for it, which whoever gets it closes. To be
    closed itself (contextlib.closing): it then closes what nobody got."""
    waiting: deque[tuple[T, int | None]] = deque()
    try:
        for item in items:
            waiting.append((item, open_item(item)))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for _item, fd in waiting:
            if fd is not None:
                os.close(fd)
