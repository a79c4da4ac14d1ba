"""Tar streams of the host's files, for `cp`: packing what goes into a container, unpacking what comes out.

What comes out was written by the container and may be hostile: every path is opened component by component
beneath
the destination, no symbolic link is followed, and no device is made.
"""

from __future__ import annotations

import os
import stat
import tarfile  # noqa: TID251  # not a layer: a few files, and the module parses only; what is made is made below
from collections.abc import Callable, Iterator
from typing import IO

from corten.client.mirror import Mirror
from corten.errors import ArchiveError, InvalidArgument

PIECE = 1 << 20


def pack(source: str, name: str, *, follow: bool = False) -> Iterator[bytes]:
    """A tar of the file or tree at `source`, in which it is called `name` (`.` for the contents of a
    directory).

    `follow`: when `source` itself is a symbolic link, what it points to is packed.
    """
    if follow:
        source = os.path.realpath(source)
    links: dict[tuple[int, int], str] = {}
    yield from _pack_one(source, name, links)
    yield b"\0" * 1024


def _pack_one(path: str, name: str, links: dict[tuple[int, int], str]) -> Iterator[bytes]:
    status = os.lstat(path)
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid, info.mtime = status.st_uid, status.st_gid, int(status.st_mtime)
    if stat.S_ISREG(status.st_mode):
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and key in links:
            info.type, info.linkname = tarfile.LNKTYPE, links[key]
            yield info.tobuf(tarfile.PAX_FORMAT)
            return
        links[key] = name
        yield from _pack_file(path, info)
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        yield info.tobuf(tarfile.PAX_FORMAT)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        yield info.tobuf(tarfile.PAX_FORMAT)
        for child in sorted(os.listdir(path)):
            yield from _pack_one(os.path.join(path, child), f"{name}/{child}", links)
    elif stat.S_ISFIFO(status.st_mode):
        info.type = tarfile.FIFOTYPE
        yield info.tobuf(tarfile.PAX_FORMAT)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        info.type = tarfile.CHRTYPE if stat.S_ISCHR(status.st_mode) else tarfile.BLKTYPE
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        yield info.tobuf(tarfile.PAX_FORMAT)
    # A socket has no place in a tar: Docker leaves it out as well.


def _pack_file(path: str, info: tarfile.TarInfo) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        info.size = os.fstat(fd).st_size
        yield info.tobuf(tarfile.PAX_FORMAT)
        left = info.size
        while left:
            data = os.read(fd, min(left, PIECE))
            if not data:
                data = b"\0" * min(left, PIECE)  # it became shorter meanwhile: the header has been sent
            left -= len(data)
            yield data
        yield b"\0" * (-info.size % 512)
    finally:
        os.close(fd)


class _Pieces:
    """A file object over an iterator of bytes, as tarfile reads one."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = b""

    def read(self, size: int) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            parts.append(piece)
            have += len(piece)
        joined = b"".join(parts)
        self._buffer = joined[size:]
        return joined[:size]


def unpack(
    pieces: Iterator[bytes],
    directory: str,
    rename: Callable[[str], str],
    *,
    keep_owner: bool = False,
    mirror: bool = False,
) -> int:
    """Unpacks a tar stream beneath `directory`; `rename` maps each member's path to one relative to it.
    `mirror`: nothing else is in the directory afterwards. What is in the way of a member goes before it
    comes, and all else when the whole archive has come.

    Returns the bytes of file content written. Raises ArchiveError for a member that would leave the
    directory.
    """
    written = 0
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    modes: list[tuple[str, tarfile.TarInfo]] = []
    come = Mirror(root) if mirror else None
    try:
        with tarfile.open(fileobj=_Pieces(pieces), mode="r|", bufsize=PIECE) as archive:  # type: ignore[call-overload]
            for member in archive:
                path = rename(member.name)
                if come is not None:
                    come.expect(path, is_directory=member.isdir())
                written += _unpack_one(archive, member, root, path, rename, keep_owner)
                if member.isdir():
                    modes.append((path, member))
        if come is not None:
            come.remove_others()
        # Directories last: their own mode may forbid writing into them, and writing changes their time.
        for path, member in reversed(modes):
            parent, name = _parent(root, path)
            try:
                _set_attributes(parent, name, member, keep_owner)
            finally:
                os.close(parent)
    except tarfile.TarError as error:
        raise ArchiveError(f"the archive from the engine is broken: {error}") from error
    finally:
        os.close(root)
    return written


def _parent(root: int, path: str, *, make: bool = False) -> tuple[int, str]:
    """A descriptor of the directory that holds `path` beneath `root`, and the last component."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"the archive from the engine has a path with '..': {path}")
    current = os.dup(root)
    for part in parts[:-1]:
        try:
            if make:
                try:
                    os.mkdir(part, 0o755, dir_fd=current)
                except FileExistsError:
                    pass
            child = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
        except OSError as error:
            os.close(current)
            raise ArchiveError(
                f"cannot write {path}: {part} is no directory ({error.strerror});"
                " symbolic links are not followed"
            ) from error
        os.close(current)
        current = child
    return current, parts[-1] if parts else "."


def _unpack_one(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    root: int,
    path: str,
    rename: Callable[[str], str],
    keep_owner: bool,
) -> int:
    parent, name = _parent(root, path, make=True)
    try:
        if member.isdir():
            if name != ".":
                try:
                    os.mkdir(name, 0o700, dir_fd=parent)
                except FileExistsError:
                    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                        raise InvalidArgument(f"cannot overwrite the file {path} by a directory") from None
            return 0
        if member.isreg():
            source = archive.extractfile(member)
            assert source is not None
            _write_file(parent, name, path, source)
            _set_attributes(parent, name, member, keep_owner)
            return member.size
        if member.issym():
            _remove(parent, name, path)
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            target_parent, target = _parent(root, rename(member.linkname))
            try:
                _remove(parent, name, path)
                os.link(target, name, src_dir_fd=target_parent, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(target_parent)
        elif member.isfifo():
            _remove(parent, name, path)
            os.mkfifo(name, member.mode & 0o777, dir_fd=parent)
        # Devices are left out: a container must not be able to make one on the host.
        return 0
    finally:
        os.close(parent)


def _remove(parent: int, name: str, path: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        raise InvalidArgument(f"cannot overwrite the directory {path} by a file") from None


def _write_file(parent: int, name: str, path: str, source: IO[bytes]) -> None:
    _remove(parent, name, path)
    fd = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=parent
    )
    try:
        while data := source.read(PIECE):
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _set_attributes(parent: int, name: str, member: tarfile.TarInfo, keep_owner: bool) -> None:
    if keep_owner:
        try:
            os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        except PermissionError:
            pass  # an ordinary user keeps what is theirs
    # Set-id bits of a file from a container are not for the host, unless its owner is kept as well.
    mode = member.mode & (0o7777 if keep_owner else 0o1777)
    os.chmod(name, mode, dir_fd=parent)
    os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)


def receive_file(pieces: Iterator[bytes], path: str) -> None:
    """Writes a file that has its name only when it is complete."""
    partial = f"{path}.partial-{os.getpid()}"
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
        os.rename(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    finally:
        os.close(fd)


def take_file(temporary: str, path: str) -> str:
    """Gives a temporary file its name, with the mode that a new file has; the temporary name stays."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    partial = f"{path}.partial-{os.getpid()}"
    os.link(temporary, partial)
    os.rename(partial, path)
    return path


def unpack_file(archive: str, directory: str, *, mirror: bool = False) -> str:
    """Unpacks a tar file into a directory, which is made. `mirror`: as of `unpack`."""
    os.makedirs(directory, exist_ok=True)
    with open(archive, "rb") as file:
        unpack(iter(lambda: file.read(PIECE), b""), directory, lambda name: name, mirror=mirror)
    return directory


def one_file(name: str, content: bytes, mode: int) -> bytes:
    """A tar with one file, which belongs to root."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info.tobuf(tarfile.PAX_FORMAT) + content + b"\0" * (-len(content) % 512) + b"\0" * 1024


def only_file(archive: bytes, path: str) -> bytes:
    """The content of the one file in a tar; `path` is for the message when it is something else."""
    with tarfile.open(fileobj=_Pieces(iter((archive,))), mode="r|") as members:  # type: ignore[call-overload]
        member = members.next()
        source = members.extractfile(member) if member is not None and member.isreg() else None
        if source is None:
            raise InvalidArgument(f"{path} is not a regular file")
        content: bytes = source.read()
        return content
