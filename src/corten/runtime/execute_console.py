"""The container's terminal: opened in its own devpts, bound to /dev/console, its master sent to the
parent.
"""

from __future__ import annotations

import os

from corten.errors import StartError
from corten.linux import mount as m
from corten.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from corten.linux.statfs import DEVPTS_SUPER_MAGIC, file_system_type
from corten.linux.terminal import make_controlling, open_pty, set_size
from corten.runtime.execute_paths import ensure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.execute_child import Child

_MASTER = b"M"


def console(child: Child, rows: int, columns: int) -> None:
    """Before the change of root: a pty, and /dev/console bound to its peer, both by descriptor
    (CVE-2025-52565).
    """
    if not child.console:
        return
    peer = _open(child, child.root, rows, columns)
    target = ensure(child.root, b"dev/console", directory=False, symlinks=False)
    tree = m.open_tree(peer, b"", m.AT_EMPTY_PATH | m.OPEN_TREE_CLONE)
    m.move_mount(tree, target)
    os.close(tree)
    os.close(target)
    _install(peer)


def exec_console(child: Child, rows: int, columns: int) -> None:
    """In a running container: one more pty of its devpts."""
    if not child.console:
        return
    root = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    peer = _open(child, root, rows, columns)
    os.close(root)
    _install(peer)


def _open(child: Child, root: int, rows: int, columns: int) -> int:
    master = openat2(root, b"dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    if file_system_type(master) != DEVPTS_SUPER_MAGIC or os.fstat(master).st_rdev != os.makedev(5, 2):
        raise StartError("cannot open a terminal: /dev/pts in the container is not a devpts file system")
    _number, peer = open_pty(master)
    if rows or columns:
        set_size(peer, rows, columns)
    child.send_descriptor(_MASTER, master)
    os.close(master)
    return peer


def _install(peer: int) -> None:
    make_controlling(peer)
    for place in (0, 1, 2):
        os.dup2(peer, place)
    if peer > 2:
        os.close(peer)
