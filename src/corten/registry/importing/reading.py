"""A process that reads files and tells their digests. It imports nothing of the registry: it starts quickly.

Each line of its input is a JSON array, an algorithm and a path; it is answered with one: digest and size, or
"" and why not. It ends with its input, so it does not outlive who started it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import IO

PIECE = 1 << 20


def read(algorithm: str, path: str) -> tuple[str, int | str]:
    """The digest and the size of a file, whose bytes are on the disk then; or "" and what is wrong."""
    try:
        digest = hashlib.new(algorithm)
        size = 0
        with open(path, "rb", buffering=0) as file:
            buffer = memoryview(bytearray(PIECE))
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                size += count
            os.fsync(file.fileno())
    except OSError as error:
        return "", error.strerror or str(error)
    return f"{algorithm}:{digest.hexdigest()}", size


def serve(source: IO[str], target: IO[str]) -> None:
    """Answers until the input ends."""
    for line in source:
        algorithm, path = json.loads(line)
        target.write(json.dumps(read(algorithm, path)) + "\n")
        target.flush()


if __name__ == "__main__":
    try:
        serve(sys.stdin, sys.stdout)
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(1)
