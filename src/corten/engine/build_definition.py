"""Finding and reading the Dockerfile and the .dockerignore of a build."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from corten.build.dockerignore import read_dockerignore
from corten.errors import CortenError, InvalidArgument, NotFound
from corten.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

MAX_BYTES = 16 << 20
_DEFAULT = "Dockerfile"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Definition:
    """`name` is what the Dockerfile is called in messages; `ignore` are the .dockerignore's patterns."""

    name: str
    data: bytes
    ignore: tuple[str, ...]


def read_definition(
    path: str, root: int | None, *, text: bytes | None = None, ignore: bytes | None = None
) -> Definition:
    """`root` is a descriptor of the context's directory (None: there are no files). `path` is relative to
    it, where no link leads out of it, or an absolute one of this host. Blocks. NotFound, InvalidArgument.
    """
    name = os.path.basename(path) or _DEFAULT
    directory, relative = _place(path, root)
    if text is None:
        text = _dockerfile(directory, relative, path)
    if ignore is None:
        # BuildKit looks for one that belongs to this Dockerfile beside it.
        ignore = _read(directory, f"{relative}.dockerignore") if relative else None
        if ignore is None and root is not None:
            ignore = _read(_Directory(root=root), ".dockerignore")
    return Definition(name, text, tuple(read_dockerignore(ignore)) if ignore else ())


def read_ignore_file(directory: Path) -> tuple[str, ...]:
    """The patterns of a named context's .dockerignore."""
    data = _read(_Directory(None), str(directory / ".dockerignore"))
    return tuple(read_dockerignore(data)) if data else ()


@dataclass(frozen=True, slots=True)
class _Directory:
    """The context's directory, or with None anything on this host."""

    root: int | None


def _place(path: str, root: int | None) -> tuple[_Directory, str]:
    if os.path.isabs(path):
        return _Directory(None), path
    return _Directory(root), (path or _DEFAULT) if root is not None else ""


def _dockerfile(directory: _Directory, relative: str, asked: str) -> bytes:
    if not relative:
        raise InvalidArgument("there is neither a build context nor a Dockerfile: give one of them")
    data = _read(directory, relative)
    folder, name = os.path.split(relative)
    if data is None and name == _DEFAULT:
        data = _read(directory, os.path.join(folder, name.lower()))
    if data is None:
        where = asked if os.path.isabs(asked) else f"{asked or _DEFAULT} in the build context"
        raise NotFound(f"cannot read the Dockerfile: there is no {where}; --file names another")
    return data


def _read(directory: _Directory, path: str) -> bytes | None:
    """A small file; None when there is none."""
    try:
        if directory.root is None:
            fd = os.open(path, _FLAGS)
        else:
            resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
            fd = openat2(directory.root, os.fsencode(path), _FLAGS, resolve)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CortenError(f"cannot read {path}: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidArgument(f"cannot read {path}: it is not a regular file")
        if found.st_size > MAX_BYTES:
            raise InvalidArgument(f"{path} has {found.st_size} bytes: at most {MAX_BYTES} are read")
        pieces = []
        while piece := os.read(fd, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)
