"""Blobs in an object store: S3, GCS, Azure, by obstore (or its local and in-memory stores, for tests).

    uploads/<id>/<offset>.<token>   what one request has sent: an object for each
    blobs/<algorithm>/<ab>/<hex>.<id>

A request's bytes are written as one object, in parts, while they come in. Most uploads are one request,
and become a blob by the store's own copy. An upload's state is the JSON list of its objects, as a
listing may show what was never committed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store, from_url

from corten.errors import InvalidArgument, NotFound, Unavailable
from corten.registry.blobs.store import Adopted, Stored

PIECE = 1 << 20
PART = 8 << 20
MAX_PARTS = 9_500
CONCURRENCY = 3
# S3's CopyObject takes no more; beyond it, a blob is written anew.
MAX_COPY = 5 << 30


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"cannot {what}: it is not in the registry's storage") from error
    except (BaseError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Unavailable(f"cannot {what}: the object store says: {reason[:300]}") from error


def part_size(size: int) -> int:
    """The size of the parts that so many bytes are sent in: S3 takes 10,000 of them, of 5 MiB at least."""
    return max(PART, -(-size // (MAX_PARTS * PIECE)) * PIECE)


def _open_writer(store: ObjectStore, path: str, size: int) -> Any:
    return obstore.open_writer(store, path, buffer_size=part_size(size), max_concurrency=CONCURRENCY)


class _ObjectAppender:
    def __init__(self, store: ObjectStore, upload: str, offset: int, state: str) -> None:
        self._store = store
        self._upload = upload
        self._offset = offset
        self._state = state
        self._objects = _objects(state)
        self._path = ""
        self._writer: Any = None
        self._size = 0

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        with _translated("store an upload"):
            for piece in pieces:
                if self._size >= MAX_PARTS * PART:
                    # How much comes is not known, and the parts of an object have one size: the next one.
                    self._finish()
                if self._writer is None:
                    self._path = f"uploads/{self._upload}/{self._offset:020}.{secrets.token_hex(4)}"
                    self._writer = _open_writer(self._store, self._path, 0)
                self._writer.write(piece)
                self._size += len(piece)

    def _finish(self) -> None:
        self._writer.close()
        self._writer = None
        self._objects.append((self._path, self._size))
        self._offset += self._size
        self._size = 0

    def commit(self) -> str:
        if self._writer is None:
            return self._state
        with _translated("store an upload"):
            self._finish()
        self._state = msgspec.json.encode(self._objects).decode()
        return self._state

    def close(self) -> None:
        self._writer = None


def _objects(state: str) -> list[tuple[str, int]]:
    return msgspec.json.decode(state, type=list[tuple[str, int]]) if state else []


class ObjectBlobs:
    """Blobs in a bucket, below a prefix."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store = store
        self.name = name

    @classmethod
    def from_url(cls, url: str, options: Mapping[str, str]) -> ObjectBlobs:
        """A store by its URL (`s3://bucket/prefix`, `gs://…`, `az://…`) and obstore's options (endpoint,
        keys, region)."""
        try:
            settings: dict[str, Any] = dict(options)
            client: dict[str, Any] = {"timeout": "120s", "connect_timeout": "10s"}
            if settings.get("endpoint", settings.get("aws_endpoint", "")).startswith("http://"):
                client["allow_http"] = True
            store = from_url(url, config=settings, client_options=client)  # type: ignore[call-overload]
            return cls(store, url)
        except (BaseError, ValueError, TypeError) as error:
            raise InvalidArgument(f"invalid storage {url!r}: {error}") from error

    def append(self, upload: str, offset: int, state: str) -> _ObjectAppender:
        if sum(size for _path, size in _objects(state)) != offset:
            raise NotFound("the upload's bytes are not in the registry's storage")
        return _ObjectAppender(self._store, upload, offset, state)

    def read_upload(self, upload: str, state: str, length: int) -> Iterator[bytes]:
        for path, _size in _objects(state):
            for piece in self._read(path):
                yield piece[:length]
                length -= min(length, len(piece))
                if not length:
                    return

    def _read(self, path: str) -> Iterator[bytes]:
        with _translated("read from the registry's storage"):
            for piece in obstore.get(self._store, path).stream(min_chunk_size=PIECE):
                yield bytes(piece)

    def publish(self, upload: str, state: str, size: int, location: str) -> None:
        objects = _objects(state)
        if sum(length for _path, length in objects) != size:
            raise NotFound("the upload's bytes are not in the registry's storage")
        with _translated("store a blob"):
            if self.size(location) == size:
                return  # a crash came between this and the commit
            if not objects:
                obstore.put(self._store, location, b"")
            elif len(objects) == 1 and size < MAX_COPY:
                obstore.copy(self._store, objects[0][0], location)
            else:
                with _open_writer(self._store, location, size) as writer:
                    for piece in self.read_upload(upload, state, size):
                        writer.write(piece)
        self.discard(upload)

    def adopt(self, path: str, location: str) -> Adopted:
        try:
            with open(path, "rb", buffering=0) as file, _translated("take over a blob"):
                size = os.fstat(file.fileno()).st_size
                with _open_writer(self._store, location, size) as writer:
                    while piece := file.read(PIECE):
                        writer.write(piece)
        except OSError as error:
            raise Unavailable(f"cannot take over a blob: {error.strerror}") from error
        return Adopted.COPIED

    def discard(self, upload: str) -> None:
        with _translated("delete from the registry's storage"):
            for entries in obstore.list(self._store, f"uploads/{upload}"):
                for entry in entries:
                    self.delete(entry["path"])

    def size(self, location: str) -> int | None:
        with _translated("look into the registry's storage"):
            try:
                return int(obstore.head(self._store, location)["size"])
            except FileNotFoundError:
                return None

    def delete(self, location: str) -> None:
        with _translated("delete from the registry's storage"):
            try:
                obstore.delete(self._store, location)
            except FileNotFoundError:
                pass

    def read(self, location: str) -> Iterator[bytes]:
        return self._read(location)

    def list(self) -> Iterator[Stored]:
        with _translated("look into the registry's storage"):
            for prefix in ("uploads", "blobs"):
                for entries in obstore.list(self._store, prefix):
                    for entry in entries:
                        yield Stored(entry["path"], entry["size"], entry["last_modified"].timestamp())

    def local_path(self, location: str) -> None:
        return None

    def upload_path(self, upload: str) -> None:
        return None

    def signed_url(self, location: str, seconds: int) -> str | None:
        if not isinstance(self._store, (S3Store, GCSStore, AzureStore)):
            return None
        with _translated("sign a URL"):
            return obstore.sign(self._store, "GET", location, timedelta(seconds=seconds))

    async def stream(self, location: str, start: int, end: int) -> AsyncIterator[bytes]:
        if start >= end:
            return
        with _translated("read from the registry's storage"):
            answer = await obstore.get_async(self._store, location, options={"range": (start, end)})
            async for piece in answer.stream(min_chunk_size=PIECE):
                yield bytes(piece)

    def check_writable(self) -> None:
        self.size("uploads/probe")
