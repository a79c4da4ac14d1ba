"""The child side of a worker process: unpacks and packs layers, looks into containers. One request at a time.

Requests and answers are msgpack with a 4-byte length in front, on stdin and stdout. In the middle of a
request a worker may answer `{"want": offset}` and is told how far a growing blob is. A worker whose engine
has died (its parent's id changes) removes what it was making and ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from corten import errors
from corten.snapshot.blob_source import BlobRequest
from corten.snapshot.digester import Digester
from corten.snapshot.inflate import PIECE, Inflater, Read
from corten.snapshot.limits import Limits
from corten.snapshot.overlay_marks import Marks
from corten.snapshot.read_ahead import ReadAhead
from corten.snapshot.tar_reader import TarReader
from corten.snapshot.tree import remove_tree
from corten.snapshot.unpack import Unpacker

_REPORT_EVERY = 8 << 20
# Seconds. Inflating is most of the work, and needs the interpreter's lock for a moment after each piece:
# with the usual 5 ms it would wait longer for the thread that parses than it inflates.
_SWITCH = 50e-6


class _Orphaned(BaseException):
    """The engine is gone."""


class Answer:
    """The channel to the engine, for an operation: call it with a message; `growth` asks about a blob."""

    def __init__(self, channel_in: int, channel_out: int) -> None:
        self._in = channel_in
        self._out = channel_out

    def __call__(self, message: dict[str, Any]) -> None:
        data = msgspec.msgpack.encode(message)
        view = memoryview(len(data).to_bytes(4, "big") + data)
        while view:
            view = view[os.write(self._out, view) :]

    def growth(self, offset: int) -> tuple[int, bool]:
        """Waits until more than `offset` bytes of the growing blob are there: (valid bytes, complete)."""
        self({"want": offset})
        reply = _receive(self._in)
        if reply is None:
            raise _Orphaned
        if "abort" in reply:
            raise errors.CortenError("the blob was given up")
        return reply["have"], reply["complete"]


def main(parent: int) -> None:
    """Serves requests until stdin ends or `parent`, the engine's process, is no longer the parent."""
    os.umask(0)
    sys.setswitchinterval(_SWITCH)
    channel_in, channel_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # a stray print must not break the framing

    answer = Answer(channel_in, channel_out)
    while (request := _receive(channel_in)) is not None:
        try:
            answer(_outcome(request, answer, parent))
        except (_Orphaned, BrokenPipeError):
            if "target" in request:
                remove_tree(request["target"])  # nobody will ask for what was made
            return


def _outcome(request: dict[str, Any], answer: Answer, parent: int) -> dict[str, Any]:
    _check_parent(parent)
    try:
        return {"result": _OPERATIONS[request.pop("operation")](answer, parent, **request)}
    except errors.CortenError as error:
        return {"error": type(error).__name__, "message": error.message}
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"error": "NoSpace", "message": "cannot work on layers: the disk is full"}
        if error.errno == errno.ENOENT and error.filename is not None:
            gone = os.fsdecode(error.filename)
            message = f"{gone} is missing from the store: load or pull the image again"
            return {"error": "IntegrityError", "message": message}
        return {"error": "CortenError", "message": f"the layer worker failed: {error}"}


def _check_parent(parent: int) -> None:
    if os.getppid() != parent:
        raise _Orphaned


def _receive(fd: int) -> dict[str, Any] | None:
    head = _exactly(fd, 4)
    if head is None:
        return None
    body = _exactly(fd, int.from_bytes(head, "big"))
    return None if body is None else msgspec.msgpack.decode(body, type=dict[str, Any])


def _exactly(fd: int, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = os.read(fd, size - len(data))
        if not piece:
            return None
        data += piece
    return data


def _unpack(
    answer: Answer,
    parent: int,
    *,
    target: str,
    algorithm: str,
    marks: list[Any],
    limits: dict[str, int],
    **blob: Any,
) -> dict[str, Any]:
    """Unpacks the tar `blob` (see BlobRequest) into `target`/fs; `algorithm` is empty when nobody needs the
    diff ID."""
    target_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(target_fd, fcntl.LOCK_EX)  # tells a later engine's recover() that someone is at it
        os.mkdir("fs", 0o755, dir_fd=target_fd)
        root_fd = os.open("fs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=target_fd)
        bounds = Limits(**limits)

        def unpack(read: Read) -> dict[str, Any]:
            done = Unpacker(root_fd, Marks(*marks), limits=bounds).unpack(
                TarReader(read, limits=bounds, what="layer")
            )
            return {"size": done.size, "inodes": done.inodes, "implied": done.implied, "notes": done.notes}

        try:
            return streamed(answer, parent, BlobRequest(**blob), algorithm, bounds, unpack)
        finally:
            os.close(root_fd)
    finally:
        os.close(target_fd)


def streamed(
    answer: Answer,
    parent: int,
    request: BlobRequest,
    algorithm: str,
    limits: Limits,
    consume: Callable[[Read], dict[str, Any]],
) -> dict[str, Any]:
    """What `consume` makes of the inflated blob, with its `diff_id`, and the blob's `digest` when it came out
    of an archive. Such a blob is stored even if it is no layer: `refused` says then why not."""
    with request.open(answer.growth) as source:
        try:
            reported = reporting(source.read, source.total, parent, answer)
            inflater = Inflater(reported, limits=limits, what="layer")
            same = inflater.compression == "plain" and source.algorithm == algorithm
            with (
                ReadAhead(inflater.read) as ahead,
                hashing(ahead.read, "" if same else algorithm) as (read, diff_id),
            ):
                result = consume(read)
                digest = source.finish()
                return {**result, "digest": digest, "diff_id": digest if same else diff_id()}
        except errors.ArchiveError as error:
            if not source.algorithm:
                raise
            return {"digest": source.finish(), "refused": error.message}


def reporting(source: Read, total: int, parent: int, answer: Answer) -> Read:
    done = reported = 0

    def read(size: int) -> bytes:
        nonlocal done, reported
        _check_parent(parent)
        piece = source(size)
        done += len(piece)
        if done - reported >= _REPORT_EVERY:
            reported = done
            answer({"done": done, "total": total})
        return piece

    return read


@contextlib.contextmanager
def hashing(read: Read, algorithm: str) -> Iterator[tuple[Read, Callable[[], str]]]:
    """(`read`, hashed on the way; what tells the digest in the end). Neither is needed when `algorithm` is
    empty: the digest is then, too."""
    if not algorithm:
        yield read, lambda: ""
        return
    with Digester(algorithm) as digester:

        def hashed(size: int = PIECE) -> bytes:
            data = read(size)
            digester.update(data)
            return data

        yield hashed, lambda: f"{algorithm}:{digester.hexdigest()}"


def _index(answer: Answer, parent: int, **request: Any) -> Any:
    from corten.snapshot.worker_index import serve

    return serve(answer, parent, **request)


def _index_again(answer: Answer, parent: int, **request: Any) -> Any:
    from corten.snapshot.worker_index import serve_again

    return serve_again(answer, parent, **request)


def _pack_upper(
    answer: Answer, parent: int, *, upper: str, target: str, holes: bool = True
) -> dict[str, Any]:
    """Writes the layer tar of an upper directory to the new file `target`; its digest and size."""
    from corten.snapshot.tree_packer import pack_upper

    return _pack(target, lambda write: pack_upper(upper, write, holes=holes))


def _pack_tree(answer: Answer, parent: int, *, root: str, target: str) -> dict[str, Any]:
    """Writes the tar of a whole directory to the new file `target`; its digest and size."""
    from corten.snapshot.tree_packer import pack_directory

    return _pack(target, lambda write: pack_directory(root, write))


def _pack(target: str, pack: Callable[[Callable[[bytes | memoryview], object]], None]) -> dict[str, Any]:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    size = 0
    with Digester("sha256") as digester:

        def write(data: bytes | memoryview) -> None:
            nonlocal size
            data = bytes(data)
            digester.update(data)
            size += len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]

        try:
            pack(write)
        finally:
            os.close(fd)
        return {"digest": f"sha256:{digester.hexdigest()}", "size": size}


def _view(answer: Answer, parent: int, **request: Any) -> Any:
    from corten.snapshot.view import serve

    return serve(**request)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "unpack": _unpack,
    "index": _index,
    "index_again": _index_again,
    "pack_upper": _pack_upper,
    "pack_tree": _pack_tree,
    "view": _view,
}
