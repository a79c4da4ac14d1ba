"""The index.json of an image layout that is there already, in a directory of the client."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from corten.errors import IntegrityError, InvalidArgument
from corten.oci.descriptor import Descriptor
from corten.oci.manifest import MAX_MANIFEST_BYTES, REF_NAME, Index, decode_index


def read_index(directory: Path) -> Index | None:
    """None when there is no layout. InvalidArgument for what is there and is none."""
    data = read_small(directory / "index.json", MAX_MANIFEST_BYTES)
    if data is None:
        return None
    try:
        return decode_index(data)
    except IntegrityError as error:
        raise InvalidArgument(f"{directory}/index.json is no index of an image layout: {error}") from error


def other_entries(directory: Path, entries: Sequence[Descriptor]) -> list[Descriptor]:
    """What stays of it when `entries` are added: those with the same name, or the same digest and no name,
    are replaced."""
    index = read_index(directory)
    if index is None:
        return []
    names = {_name(entry) for entry in entries} - {""}
    digests = {entry.digest for entry in entries}
    return [
        entry
        for entry in index.manifests
        if _name(entry) not in names and not (not _name(entry) and entry.digest in digests)
    ]


def read_small(path: Path, limit: int) -> bytes | None:
    """A regular file of at most `limit` bytes; None when there is none. InvalidArgument for anything else:
    the directory is a client's, and may hold a pipe of that name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise InvalidArgument(f"cannot read {path}: it is no file of at most {limit} bytes")
        data = b""
        while len(data) <= limit and (piece := os.read(fd, limit + 1 - len(data))):
            data += piece
        return data
    finally:
        os.close(fd)


def _name(entry: Descriptor) -> str:
    return (entry.annotations or {}).get(REF_NAME, "")
