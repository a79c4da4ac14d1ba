"""Indexing a layer in a worker process: its tar goes into layer.tar as it is inflated, its index into
layer.erofs."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

from corten.errors import ArchiveError
from corten.snapshot.blob_source import BlobRequest
from corten.snapshot.erofs.layer_index import Indexed, index_layer
from corten.snapshot.erofs.mounts import DATA, IMAGE, MOUNT_POINT
from corten.snapshot.implied import Model
from corten.snapshot.inflate import PIECE, Inflater, Read
from corten.snapshot.limits import Limits
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.worker import Answer, streamed

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def serve(
    answer: Answer,
    parent: int,
    *,
    target: str,
    algorithm: str,
    in_tar: bool,
    aligned: bool = False,
    limits: dict[str, int],
    **blob: Any,
) -> dict[str, Any]:
    """Indexes the tar `blob` (see BlobRequest) into the directory `target`; `algorithm` is empty when nobody
    needs the diff ID. With `in_tar` contents stay in the tar (with `aligned`, those that it aligns), else
    they are copied into the image."""
    directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    bounds = Limits(**limits)
    request = BlobRequest(**blob)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # tells a later engine's recover() that someone is at it
        os.mkdir(MOUNT_POINT, 0o755, dir_fd=directory)
        image = os.open(IMAGE, _CREATE, 0o600, dir_fd=directory)
        try:
            if in_tar:
                if not algorithm and not request.final and _link(request.blob, directory):
                    return {**_result(_index_file(directory, image, bounds, aligned)), "diff_id": ""}
                return _with_tar(answer, parent, directory, image, request, algorithm, bounds, aligned)
            return streamed(
                answer,
                parent,
                request,
                algorithm,
                bounds,
                lambda read: _result(
                    index_layer(
                        TarReader(read, limits=bounds, what="layer"), image, device_size=None, limits=bounds
                    )
                ),
            )
        finally:
            os.close(image)
    finally:
        os.close(directory)


def serve_again(
    answer: Answer,
    parent: int,
    *,
    blob: str,
    target: str,
    in_tar: bool,
    aligned: bool = False,
    limits: dict[str, int],
    models: list[Any],
) -> dict[str, Any]:
    """Makes the image in `target` again, with `models` for implied directories: some have xattrs."""
    directory = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    known = {
        path: Model(mode, uid, gid, mtime_ns, tuple((name, value) for name, value in xattrs))
        for path, mode, uid, gid, mtime_ns, xattrs in models
    }
    bounds = Limits(**limits)
    try:
        os.unlink(IMAGE, dir_fd=directory)
        image = os.open(IMAGE, _CREATE, 0o600, dir_fd=directory)
        try:
            if in_tar:
                return _result(_index_file(directory, image, bounds, aligned, known))
            source = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
            try:
                inflater = Inflater(lambda size: os.read(source, size), limits=bounds, what="layer")
                reader = TarReader(inflater.read, limits=bounds, what="layer")
                return _result(index_layer(reader, image, device_size=None, limits=bounds, models=known))
            finally:
                os.close(source)
        finally:
            os.close(image)
    finally:
        os.close(directory)


def _with_tar(
    answer: Answer,
    parent: int,
    directory: int,
    image: int,
    request: BlobRequest,
    algorithm: str,
    bounds: Limits,
    aligned: bool,
) -> dict[str, Any]:
    """The tar goes into a file of its own as it is inflated."""
    data = os.open(DATA, _CREATE, 0o600, dir_fd=directory)
    try:

        def index(read: Read) -> dict[str, Any]:
            reader = TarReader(_keeping(read, data), limits=bounds, what="layer")
            return _result(
                index_layer(
                    reader,
                    image,
                    device_size=lambda: os.fstat(data).st_size,
                    aligned=aligned,
                    limits=bounds,
                )
            )

        return streamed(answer, parent, request, algorithm, bounds, index)
    finally:
        os.close(data)


def _result(done: Indexed) -> dict[str, Any]:
    return {"size": done.size, "inodes": done.inodes, "implied": done.implied, "notes": done.notes}


def _keeping(read: Read, data: int) -> Read:
    def kept(size: int = PIECE) -> bytes:
        piece = read(size)
        view = memoryview(piece)
        while view:
            view = view[os.write(data, view) :]
        return piece

    return kept


def _link(blob: str, directory: int) -> bool:
    """A plain tar that is stored already is the data itself, under a second name."""
    try:
        os.link(blob, DATA, dst_dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise
    return True


def _index_file(
    directory: int, image: int, bounds: Limits, aligned: bool, models: dict[bytes, Model] | None = None
) -> Indexed:
    """Indexes layer.tar where it is; long contents are not even read."""
    data = os.open(DATA, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        size = os.fstat(data).st_size
        if size > bounds.max_bytes:
            raise ArchiveError(f"the layer has {size} bytes, the limit is {bounds.max_bytes}")
        offset = 0

        def read(length: int) -> bytes:
            nonlocal offset
            piece = os.pread(data, length, offset)
            offset += len(piece)
            return piece

        def skip(length: int) -> None:
            nonlocal offset
            offset += length

        reader = TarReader(read, skip=skip, limits=bounds, what="layer")
        return index_layer(
            reader, image, device_size=lambda: size, aligned=aligned, limits=bounds, models=models
        )
    finally:
        os.close(data)
