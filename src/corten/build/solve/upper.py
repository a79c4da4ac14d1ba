"""From an overlay's upper directory to a layer: without what only mounts have left there, with its times.

Nothing is copied: the directory itself becomes the layer. The process that wrote it is gone, so it does not
change any more; but what is in it is that process's work, so no link in it is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from corten.build.solve.protocols import Drafted
from corten.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from corten.snapshot.lookup import find_below, is_whiteout
from corten.snapshot.overlay_marks import is_opaque

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40
_PYC_HEADER = 16
_PRIVATE = frozenset(
    prefix + name
    for prefix in ("trusted.overlay.", "user.overlay.")
    for name in ("impure", "nlink", "origin", "protattr", "upper", "uuid")
)
"""What an overlay notes in its upper directory for itself."""


def settle_upper(
    upper: str, lowers: Sequence[str], mount_points: Sequence[str], epoch: int | None
) -> Drafted:
    """Makes a layer of `upper`, which lay over `lowers` (topmost first) while things were mounted at
    `mount_points` (absolute): those that the mounts have made and nobody has filled go away. Every time in it
    becomes `epoch` (seconds; None: they stay)."""
    if os.listdir(upper):
        _Stubs(upper, lowers).remove(mount_points)
    settled = _Settling(upper, epoch)
    settled.run()
    _like_below(upper, lowers)
    return Drafted(settled.size, settled.inodes)


def _like_below(upper: str, lowers: Sequence[str]) -> None:
    """The root itself is in no layer's tar: it stays what it was."""
    if not lowers:
        return
    below = os.stat(lowers[0])
    own = os.stat(upper)
    if (own.st_uid, own.st_gid) != (below.st_uid, below.st_gid):
        os.chown(upper, below.st_uid, below.st_gid)
    if own.st_mode != below.st_mode:
        os.chmod(upper, stat.S_IMODE(below.st_mode))
    os.utime(upper, ns=(below.st_atime_ns, below.st_mtime_ns))


class _Stubs:
    """Files and directories that exist because something was mounted there."""

    def __init__(self, upper: str, lowers: Sequence[str]) -> None:
        self._upper = os.fsencode(upper)
        self._lowers = [os.fsencode(lower) for lower in lowers]
        self._all = [self._upper, *self._lowers]
        self._resolved: dict[bytes, bytes | None] = {b"": b""}

    def remove(self, mount_points: Sequence[str]) -> None:
        """The longest first: one may lie in another."""
        points = sorted({os.fsencode(point).strip(b"/") for point in mount_points}, key=len, reverse=True)
        for point in points:
            path = self._resolve(point)
            if path:
                self._remove(path)

    def _remove(self, path: bytes) -> None:
        full = self._upper + b"/" + path
        try:
            status = os.lstat(full)
        except OSError:
            return
        if is_whiteout(status, full) or find_below(path, self._lowers) is not None:
            return
        try:
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(full)
            elif stat.S_ISREG(status.st_mode) and not status.st_size:
                os.unlink(full)
            else:
                return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return
        self._remove_parents(path)

    def _remove_parents(self, path: bytes) -> None:
        """Directories that were made, or copied up, only for what was in them."""
        while b"/" in path:
            path = path.rpartition(b"/")[0]
            full = self._upper + b"/" + path
            below = find_below(path, self._lowers)
            if is_opaque(os.fsdecode(full)) or (below is not None and not _alike(full, below)):
                return
            try:
                os.rmdir(full)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return

    def _resolve(self, path: bytes, links: int = _LINKS) -> bytes | None:
        """Where `path` leads to below the root, the last component included; None: nowhere, or round."""
        known = self._resolved.get(path, b"?")
        if known != b"?":
            return known
        head, _, name = path.rpartition(b"/")
        parent = self._resolve(head, links)
        result: bytes | None = None
        if parent is not None:
            result = self._follow((parent + b"/" if parent else b"") + name, links)
        self._resolved[path] = result
        return result

    def _follow(self, path: bytes, links: int) -> bytes | None:
        found = find_below(path, self._all)
        if found is None or not stat.S_ISLNK(os.lstat(found).st_mode):
            return path
        if not links:
            return None
        target = os.readlink(found)
        base = [] if target.startswith(b"/") else path.split(b"/")[:-1]
        for part in target.split(b"/"):
            if part == b"..":
                base = base[:-1]
            elif part not in (b"", b"."):
                base.append(part)
        return self._resolve(b"/".join(base), links - 1)


def _alike(one: bytes, other: bytes) -> bool:
    """Whether two directories have the same attributes, but for times."""
    a, b = os.lstat(one), os.lstat(other)
    return (a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid) and _xattrs(one) == _xattrs(
        other
    )


def _xattrs(path: bytes) -> dict[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(("trusted.overlay.", "user.overlay."))
    }


class _Settling:
    """One walk through the directory: counts, and sets times."""

    def __init__(self, upper: str, epoch: int | None) -> None:
        self._upper = upper
        self._epoch = epoch
        self._ns = None if epoch is None else (epoch * 1_000_000_000,) * 2
        self.size = 0
        self.inodes = 0
        self._linked: set[int] = set()
        self._sources: dict[str, tuple[int, int]] = {}
        self._compiled: list[str] = []

    def run(self) -> None:
        top = os.open(self._upper, _DIRECTORY)
        try:
            self._walk(top)
            for path in self._compiled:
                self._compile_again(top, path)
        finally:
            os.close(top)

    def _walk(self, top: int) -> None:
        """Depth first, a descriptor per level; without recursion, for a tree may be deeper than the stack."""
        stack = [(top, "", self._directory(top, ""))]
        try:
            while stack:
                fd, base, below = stack[-1]
                if not below:
                    stack.pop()
                    if stack:
                        os.close(fd)
                    continue
                name = below.pop()
                child = os.open(name, _DIRECTORY, dir_fd=fd)
                stack.append((child, f"{base}{name}/", self._directory(child, f"{base}{name}/")))
        finally:
            for fd, _, _ in stack[1:]:
                os.close(fd)

    def _directory(self, fd: int, base: str) -> list[str]:
        """Everything in one directory; the names of its directories."""
        below: list[str] = []
        has_copies = _forget_private(fd)
        with os.scandir(fd) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if has_copies:
                    _forget_private(f"/proc/self/fd/{fd}/{entry.name}")
                kind = stat.S_IFMT(status.st_mode)
                if kind == stat.S_IFDIR:
                    below.append(entry.name)
                    self.inodes += 1
                elif status.st_nlink < 2 or status.st_ino not in self._linked:
                    self.inodes += 1
                    if status.st_nlink > 1:
                        self._linked.add(status.st_ino)
                    if kind == stat.S_IFREG:
                        self._regular(entry.name, base, status)
                if self._ns is not None:
                    os.utime(entry.name, ns=self._ns, dir_fd=fd, follow_symlinks=False)
        return below

    def _regular(self, name: str, base: str, status: os.stat_result) -> None:
        self.size += status.st_size
        if self._epoch is None:
            return
        if name.endswith(".py"):
            self._sources[base + name] = (status.st_mtime_ns // 1_000_000_000, status.st_size)
        elif name.endswith(".pyc"):
            self._compiled.append(base + name)

    def _compile_again(self, top: int, path: str) -> None:
        """Python takes compiled code for stale whose header does not have its source's time: the header gets
        the new one, when it had the old one and the source is in this layer (PEP 552: flags 0)."""
        assert self._epoch is not None and self._ns is not None
        source = self._sources.get(_source_of(path))
        if source is None:
            return
        flags = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        try:
            fd = openat2(top, os.fsencode(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, flags)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return
            raise
        try:
            header = os.pread(fd, _PYC_HEADER, 0)
            mtime, size = source
            expected = bytes(4) + (mtime & 0xFFFFFFFF).to_bytes(4, "little")
            expected += (size & 0xFFFFFFFF).to_bytes(4, "little")
            if header[4:] == expected:
                os.pwrite(fd, (self._epoch & 0xFFFFFFFF).to_bytes(4, "little"), 8)
                os.utime(fd, ns=self._ns)
        finally:
            os.close(fd)


def _forget_private(target: int | str) -> bool:
    """Removes overlay's own marks; whether it is a directory with something that was copied up."""
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return False
        raise
    for name in names:
        if name in _PRIVATE:
            os.removexattr(target, name, follow_symlinks=follow)
    return any(name.endswith(".overlay.impure") for name in names)


def _source_of(path: str) -> str:
    """The name that the source of a .pyc has (PEP 3147)."""
    head, _, name = path.rpartition("/")
    if head == "__pycache__" or head.endswith("/__pycache__"):
        return f"{head[: -len('__pycache__')]}{name.partition('.')[0]}.py"
    return path[:-1]
