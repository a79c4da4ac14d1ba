"""Run the interpreter from where it cannot be written to (CVE-2019-5736).

/proc/self/exe of a process that enters a container leads, from inside, to the host's interpreter. It is
therefore executed once more from a detached, read-only clone of its mount, which no namespace shows and whose
flags nobody can change; or, where cloning a mount is not allowed, from a sealed copy in memory.
"""

from __future__ import annotations

import os
import sys

_EXE = "/proc/self/exe"


def is_protected() -> bool:
    """Is the running interpreter on a read-only mount, or in sealed memory?"""
    if os.statvfs(_EXE).f_flag & os.ST_RDONLY:
        return True
    from corten.linux.sealed import is_sealed

    fd = os.open(_EXE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return is_sealed(fd)
    finally:
        os.close(fd)


def open_protected() -> int:
    """A descriptor of the interpreter that cannot lead to writing it: to be executed by execveat(2)."""
    from corten.linux.mount import AT_FDCWD, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE, mount_setattr, open_tree
    from corten.linux.sealed import sealed_copy

    path = os.readlink(_EXE)
    try:
        fd = open_tree(AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE)
        mount_setattr(fd, attr_set=MOUNT_ATTR_RDONLY)
        return fd
    except OSError:
        source = os.open(_EXE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return sealed_copy("python", source)
        finally:
            os.close(source)


def protect(arguments: list[str]) -> None:
    """Execute `corten-runtime` with these arguments, protected; returns at once when it is so already.

    The second interpreter is a bare one, and `site` would have nothing to add: these verbs need this package
    and the standard library only.
    """
    if is_protected():
        return
    from corten.linux.process import execveat

    package = os.path.abspath(__file__).rpartition("/corten/")[0]
    program = f"import sys;sys.path.append({package!r});from corten.runtime.command.main import entry;entry()"
    command = [sys.executable, "-I", "-S", "-c", program, *arguments]
    environment = [name + b"=" + value for name, value in os.environb.items()]
    execveat(open_protected(), [os.fsencode(word) for word in command], environment)
