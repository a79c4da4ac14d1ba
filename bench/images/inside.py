"""Runs in the container, and in the plain tree by chroot: what is read there is timed there.

Has nothing but Python's own library, and prints, for each pass after the first over all files of the root
file system: files, bytes, seconds. After the first pass everything is in the page cache.

Arguments: how many passes; "descriptors" (each file is opened in its directory, as tar, find, grep -r, cp -a
and rm -r go through a tree) or "paths" (each by its full path, every part of which is looked up again).
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator

SKIPPED = ("proc", "sys", "dev")


def read_all(buffer: bytearray, by_path: bool) -> tuple[int, int]:
    """(files, bytes). All is read into `buffer`: else the time would be that of giving memory back to the
    kernel and taking it again, in which two runs differ by a fifth, as the order of the sizes has it."""
    files = size = 0
    for base, folders, names, directory in walk(by_path):
        if base == "/":
            folders[:] = sorted(set(folders).difference(SKIPPED))
        for name in names:
            path = os.path.join(base, name) if by_path else name
            if not stat.S_ISREG(os.lstat(path, dir_fd=directory).st_mode):
                continue
            fd = os.open(path, os.O_RDONLY, dir_fd=directory)
            while got := os.readv(fd, [buffer]):
                size += got
            os.close(fd)
            files += 1
    return files, size


def walk(by_path: bool) -> Iterator[tuple[str, list[str], list[str], int | None]]:
    """As os.fwalk; by paths the descriptor is None."""
    return ((*step, None) for step in os.walk("/")) if by_path else os.fwalk("/")


def main() -> None:
    passes, way = int(sys.argv[1]), sys.argv[2]
    buffer = bytearray(1 << 20)
    for turn in range(1 + passes):
        begin = time.perf_counter()
        files, size = read_all(buffer, way == "paths")
        seconds = time.perf_counter() - begin
        if turn:
            print(files, size, seconds)


if __name__ == "__main__":
    main()
