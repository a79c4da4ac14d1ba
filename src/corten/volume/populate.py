"""First use of a volume: it gets what the image has at that place, with owners, modes and attributes."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from corten.errors import NotFound
from corten.snapshot.archive import unpack_path
from corten.snapshot.view import run_in_view


def populate(lowers: Sequence[str], path: str, target: Path) -> None:
    """Copies the directory `path` of the image with layers `lowers` (topmost first) into the empty `target`.

    Nothing happens when the image has no directory there. Blocks: call it in a thread.
    """
    if not may_exist(lowers, path):
        return
    reader, writer = os.pipe2(os.O_CLOEXEC)
    failure: list[BaseException] = []

    def pack() -> None:
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".view-") as scratch:
                upper, work = Path(scratch, "upper"), Path(scratch, "work")
                upper.mkdir()
                work.mkdir()
                run_in_view(lowers, str(upper), str(work), "pack_path", path.rstrip("/") + "/.", fds=[writer])
        except BaseException as error:
            failure.append(error)
        finally:
            os.close(writer)

    thread = threading.Thread(target=pack, name="populate")
    thread.start()
    try:
        with open(reader, "rb") as stream:  # noqa: PTH123 - a descriptor
            root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if first := stream.peek(1):
                    del first
                    unpack_path(root, "/", stream.read, copy_uid_gid=False)
            finally:
                os.close(root)
    finally:
        thread.join()
    if failure and not isinstance(failure[0], NotFound):
        raise failure[0]


def may_exist(lowers: Sequence[str], path: str) -> bool:
    """Whether some layer has something at `path`, or a link on the way: cheap, and right when it says no."""
    parts = [part for part in path.split("/") if part]
    for lower in lowers:
        current = lower
        for part in parts:
            current = f"{current}/{part}"
            try:
                status = os.lstat(current)
            except OSError:
                break
            if not os.path.isdir(current) or os.path.islink(current) or status.st_nlink == 0:
                return True
        else:
            return True
    return False
