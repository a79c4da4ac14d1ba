"""Working inside another network namespace for a moment. setns(2), network_namespaces(7)."""

from __future__ import annotations

import os
from contextlib import contextmanager

from corten.linux.namespace import CLONE_NEWNET, setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def open_of(pid: int) -> int:
    """A descriptor of the network namespace of `pid`; the caller closes it. OSError names the path."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Puts the calling *thread* into the namespace of the descriptor, and back.

    Sockets opened within belong to that namespace for good. No other code may run on the thread meanwhile.
    """
    # "thread-self": the main thread's namespace is not always the calling thread's.
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)
