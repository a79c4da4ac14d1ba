"""The process in which a layer is read: `list OUTPUT` (the layer on standard input) or `compare OUTPUT`.

It holds itself to the limits that it is given before it reads a byte: the layer's author wrote the input. A
process that reads a layer can then open nothing, neither files nor sockets, and begin no other process; as
root it becomes nobody, or reads nothing.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys

import msgspec

from corten.errors import CortenError, Unavailable
from corten.registry.page.layers.listing import Bounds, list_layer
from corten.registry.page.layers.merging import compare

FAILED = 3
"""The exit code with a sentence on standard output: what is wrong with the layer."""
UNAVAILABLE = 4
"""The same, but nothing is wrong with the layer."""
NOBODY = 65534


class Task(msgspec.Struct, frozen=True):
    """What to do. `before` and `after` are lists of paths, for `compare`."""

    verb: str
    output: str
    bounds: Bounds = Bounds()
    memory: int = 1 << 30
    seconds: int = 60
    file_bytes: int = 128 << 20
    before: list[str] = []
    after: list[str] = []


def main() -> None:
    """Does the task that the first argument describes in JSON, and ends the process."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    _limit(task)
    try:
        _do(task)
    except CortenError as error:
        sys.stdout.write(error.message)
        sys.exit(UNAVAILABLE if isinstance(error, Unavailable) else FAILED)
    except MemoryError:
        sys.stdout.write("it needs more memory than the page may take")
        sys.exit(FAILED)


def _limit(task: Task) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, task.memory),
        (resource.RLIMIT_CPU, task.seconds),
        (resource.RLIMIT_FSIZE, task.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 0),
    ):
        _lower(kind, most)
    os.nice(10)  # pulls and pushes go first


def _lower(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _shut_in(last: int) -> None:
    """No descriptor beyond the `last` from here on, and no privilege. Everything has to be imported."""
    hashlib.sha256()  # OpenSSL reads its configuration with the first one
    _lower(resource.RLIMIT_NOFILE, last + 1)
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError as error:
            raise Unavailable(
                f"no layer is read: the registry is root and may not become nobody ({error.strerror}); "
                "run it as a user of its own, or with CAP_SETUID and CAP_SETGID"
            ) from None


def _do(task: Task) -> None:
    with open(task.output, "wb") as output:
        if task.verb == "list":
            _shut_in(output.fileno())
            list_layer(lambda size: os.read(0, size), output, task.bounds)
        else:
            found = compare(task.before, task.after, 2 * task.bounds.entries)
            output.write(msgspec.msgpack.encode(found))
