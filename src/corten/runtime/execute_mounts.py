"""Mounts, in the child: onto descriptors below the new root, before the root is changed."""

from __future__ import annotations

import os
import stat

from corten.linux import mount as m
from corten.linux.openat2 import O_PATH
from corten.runtime.execute_copy import copy_tree
from corten.runtime.execute_paths import ensure, resolve
from corten.runtime.execute_usual import NODES, bind_hierarchies, empty_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.execute_child import Child

    # (set, cleared, propagation, recursively set, recursively cleared, recursive propagation)
    Attributes = tuple[int, int, int, int, int, int] | None

_EPERM, _EINVAL, _EBUSY = 1, 22, 16


def file_system(
    child: Child,
    target: bytes,
    type: bytes,
    source: bytes,
    flags: int,
    data: bytes | None,
    attributes: Attributes,
) -> None:
    """Mount a new file system. What is kernel-made (proc, sysfs) never goes through a symbolic link."""
    fd = ensure(child.root, target, symlinks=type not in (b"proc", b"sysfs"))
    if target in child.usual:
        m.move_mount(child.usual[target], fd)
        os.close(fd)
        return
    path = b"/proc/self/fd/%d" % fd
    try:
        m.mount(source, path, type, flags, data)
    except OSError as error:
        if type == b"devpts" and error.errno == _EINVAL and data and b"gid=" in data:
            # The group tty has no number in this user namespace.
            data = b",".join(item for item in data.split(b",") if not item.startswith(b"gid="))
            m.mount(source, path, type, flags, data)
        elif type == b"sysfs" and error.errno == _EPERM:
            # A user namespace that does not own its network namespace may only bind the host's.
            _bind_tree(b"/sys", fd, m.MOUNT_ATTR_RDONLY)
        else:
            raise
    os.close(fd)
    if attributes is not None:
        fd = resolve(child.root, target)
        _set_attributes(fd, attributes)
        os.close(fd)


def tmpfs_copy_up(
    child: Child, target: bytes, flags: int, data: bytes | None, attributes: Attributes
) -> None:
    """A tmpfs that begins as a copy of the directory it covers (option tmpcopyup)."""
    covered = ensure(child.root, target)
    m.mount(b"tmpfs", b"/proc/self/fd/%d" % covered, b"tmpfs", flags & ~m.MS_RDONLY, data)
    fresh = resolve(child.root, target)
    copy_tree(covered, fresh)
    read_only = m.MOUNT_ATTR_RDONLY if flags & m.MS_RDONLY else 0
    if read_only:
        m.mount_setattr(fresh, attr_set=read_only)
    if attributes is not None:
        _set_attributes(fresh, attributes)
    os.close(covered)
    os.close(fresh)


def bind(
    child: Child,
    target: bytes,
    source: bytes | int,
    recursive: bool,
    attributes: Attributes,
    subpath: bytes = b"",
) -> None:
    """Bind a host path (or a detached mount that the parent prepared: its slot) onto `target`.

    The source's mount is cloned once, its attributes set while nobody sees it, then it is attached by
    descriptor.
    """
    if isinstance(source, int):
        tree = child.slots[source]
    else:
        tree = clone_tree(source, subpath, recursive)
    attach(child, tree, target, attributes)
    os.close(tree)


def clone_tree(source: bytes, subpath: bytes, recursive: bool) -> int:
    """A detached clone of the host's mount at `source`, or of what `subpath` names beneath it.

    A volume's content is a container's work: a link in it does not lead out of it, and what was resolved is
    what is cloned, however it is renamed meanwhile.
    """
    flags = m.OPEN_TREE_CLONE | (m.AT_RECURSIVE if recursive else 0)
    if not subpath:
        return m.open_tree(m.AT_FDCWD, source, flags)
    top = os.open(source, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        part = resolve(top, subpath)
    finally:
        os.close(top)
    try:
        return m.open_tree(part, b"", flags | m.AT_EMPTY_PATH)
    finally:
        os.close(part)


def attach(child: Child, tree: int, target: bytes, attributes: Attributes) -> None:
    """Attach the detached mount `tree`; a missing target is made: a file or a directory, as the mount is."""
    if attributes is not None:
        _set_attributes(tree, attributes)
    fd = ensure(child.root, target, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
    m.move_mount(tree, fd)
    os.close(fd)


def _set_attributes(tree: int, attributes: Attributes) -> None:
    assert attributes is not None
    on, off, propagation, deep_on, deep_off, deep_propagation = attributes
    if on or off:
        _setattr(tree, on, off, False)
    if deep_on or deep_off:
        _setattr(tree, deep_on, deep_off, True)
    if propagation:
        m.mount_setattr(tree, propagation=propagation)
    if deep_propagation:
        m.mount_setattr(tree, propagation=deep_propagation, recursive=True)


def _setattr(tree: int, on: int, off: int, recursive: bool) -> None:
    try:
        m.mount_setattr(tree, attr_set=on, attr_clr=off, recursive=recursive)
    except PermissionError:
        # In a user namespace the flags of the host's mount are locked: they stay, which is the stricter way.
        locked = off & ~m.MOUNT_ATTR__ATIME
        if not locked:
            raise
        m.mount_setattr(tree, attr_set=on, attr_clr=off & m.MOUNT_ATTR__ATIME, recursive=recursive)


def _bind_tree(source: bytes, target: int, attr_set: int) -> None:
    tree = m.open_tree(m.AT_FDCWD, source, m.OPEN_TREE_CLONE | m.AT_RECURSIVE)
    m.mount_setattr(tree, attr_set=attr_set, recursive=True)
    m.move_mount(tree, target)
    os.close(tree)


def cgroup2(child: Child, target: bytes, flags: int, host_path: bytes) -> None:
    """The unified hierarchy as the cgroup namespace shows it; or, where that is forbidden, a bind of
    our own.
    """
    fd = ensure(child.root, target)
    try:
        m.mount(b"cgroup", b"/proc/self/fd/%d" % fd, b"cgroup2", flags, None)
    except OSError as error:
        if error.errno not in (_EPERM, _EBUSY) or not host_path:
            raise
        _bind_tree(host_path, fd, m.MOUNT_ATTR_RDONLY if flags & m.MS_RDONLY else 0)
    os.close(fd)


def cgroup1(
    child: Child,
    target: bytes,
    flags: int,
    hierarchies: tuple[tuple[bytes, bytes], ...],
    links: tuple[tuple[bytes, bytes], ...],
    data: bytes,
) -> None:
    """A tmpfs with one bind for each hierarchy (v1, and the hybrid layout's v2): the container's own
    cgroup.
    """
    fd = ensure(child.root, target)
    if target in child.usual:
        m.move_mount(child.usual[target], fd)
        os.close(fd)
        return
    m.mount(b"tmpfs", b"/proc/self/fd/%d" % fd, b"tmpfs", flags & ~m.MS_RDONLY, data)
    os.close(fd)
    top = resolve(child.root, target)
    bind_hierarchies(top, flags, hierarchies, links)
    os.close(top)


def devices(
    child: Child, directory: bytes, nodes: tuple[tuple[bytes, int, int, int, int, bytes], ...], bind: bool
) -> None:
    """Device nodes (name, mode with type, number, uid, gid, host path) in `directory`.

    In a user namespace mknod(2) is forbidden: the host's nodes are bound instead, and never changed in
    owner or mode (that would change the host's).
    """
    top = ensure(child.root, directory)
    there: tuple[object, ...] = NODES if directory in child.usual else ()
    for node in nodes:
        if node in there:
            continue
        name, mode, number, uid, gid, host_path = node
        if not bind:
            try:
                os.mknod(name, mode, number, dir_fd=top)
            except FileExistsError:
                os.unlink(name, dir_fd=top)
                os.mknod(name, mode, number, dir_fd=top)
            except PermissionError:
                bind = True
            else:
                if uid or gid:
                    os.chown(name, uid, gid, dir_fd=top, follow_symlinks=False)
                continue
        _bind_device(top, name, number, mode, host_path)
    os.close(top)


def _bind_device(top: int, name: bytes, number: int, mode: int, host_path: bytes) -> None:
    source = os.open(host_path, O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = os.fstat(source)
    if stat.S_IFMT(found.st_mode) != stat.S_IFMT(mode) or found.st_rdev != number:
        raise OSError(19, f"the host's node is not device {os.major(number)}:{os.minor(number)}", host_path)
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=top))
    except FileExistsError:
        pass
    tree = m.open_tree(source, b"", m.AT_EMPTY_PATH | m.OPEN_TREE_CLONE)
    # The device itself can be written to on a read-only mount; mode, owner and times of the host's cannot.
    m.mount_setattr(tree, attr_set=m.MOUNT_ATTR_RDONLY)
    m.move_mount(tree, top, name)
    os.close(tree)
    os.close(source)


def symlinks(child: Child, directory: bytes, links: tuple[tuple[bytes, bytes], ...]) -> None:
    """Symbolic links (name, what it points to) in `directory`; one that exists stays."""
    top = ensure(child.root, directory)
    for name, link in links:
        try:
            os.symlink(link, name, dir_fd=top)
        except FileExistsError:
            pass
    os.close(top)


def mask(child: Child, paths: tuple[bytes, ...]) -> None:
    """Cover files with the host's null device and directories with one empty, read-only tmpfs.

    The null device is opened before the root is changed and looked at through its descriptor: what the
    container has at /dev/null plays no part (CVE-2025-31133).
    """
    null = -1
    empty, is_attached = child.empty, False
    for path in paths:
        try:
            fd = resolve(child.root, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            if not is_attached:
                # Clones are made of it once it is attached: before Linux 6.15 a detached mount has none.
                if empty < 0:
                    empty = empty_directory()
                m.move_mount(empty, fd)
                os.close(fd)
                is_attached = True
                continue
            tree = m.open_tree(empty, b"", m.AT_EMPTY_PATH | m.OPEN_TREE_CLONE)
        else:
            if null < 0:
                null = _null_device()
            tree = m.open_tree(null, b"", m.AT_EMPTY_PATH | m.OPEN_TREE_CLONE)
            # It is the host's own: its mode and owner are nothing that a container may change.
            m.mount_setattr(tree, attr_set=m.MOUNT_ATTR_RDONLY)
        m.move_mount(tree, fd)
        os.close(tree)
        os.close(fd)
    if null >= 0:
        os.close(null)
    if empty >= 0:
        os.close(empty)


def _null_device() -> int:
    fd = os.open(b"/dev/null", O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
        raise OSError(19, "the host's /dev/null is not the null device (1:3)", "/dev/null")
    return fd


def read_only(child: Child, paths: tuple[bytes, ...]) -> None:
    """Cover paths with read-only clones of themselves."""
    for path in paths:
        try:
            fd = resolve(child.root, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        tree = m.open_tree(fd, b"", m.AT_EMPTY_PATH | m.OPEN_TREE_CLONE | m.AT_RECURSIVE)
        m.mount_setattr(tree, attr_set=m.MOUNT_ATTR_RDONLY, recursive=True)
        m.move_mount(tree, fd)
        os.close(tree)
        os.close(fd)


def directory(child: Child, path: bytes) -> None:
    """Make a directory (the working directory) where there is none."""
    os.close(ensure(child.root, path))
