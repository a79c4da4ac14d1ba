"""Following a path in a tree as if its root were `/`: links, absolute ones too, lead nowhere else."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from corten.build.context.beneath import open_place, show
from corten.errors import InvalidArgument

_MAX_LINKS = 255


@dataclass(frozen=True, slots=True)
class Place:
    """What a path leads to: `path`, in which no link is left, and what is there."""

    path: str
    status: os.stat_result


def components(path: str) -> list[str]:
    """The names in a path."""
    return [part for part in path.split("/") if part not in ("", ".")]


def resolve(root: int, path: str, *, follow: bool = True) -> Place | None:
    """The place that `path` leads to, None when there is nothing; with `follow`, a link at the end is
    followed, too. InvalidArgument for links that go round."""
    pending = components(path)[::-1]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            del done[-1:]
            continue
        fd = open_place(root, "/".join((*done, part)))
        if fd is None:
            return None
        try:
            status = os.fstat(fd)
            if not stat.S_ISLNK(status.st_mode) or not (pending or follow):
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidArgument(f"{show(path)} goes round in symbolic links")
            target = os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)
        if target.startswith("/"):
            done.clear()
        pending += components(target)[::-1]
    return _place(root, "/".join(done))


def _place(root: int, path: str) -> Place | None:
    """Looked at once more: `..` may have come last."""
    fd = open_place(root, path)
    if fd is None:
        return None
    try:
        return Place(path, os.fstat(fd))
    finally:
        os.close(fd)
