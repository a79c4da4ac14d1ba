"""What keeps the bytes. A location is written once and never again, so nothing here needs a lock.

All methods block, except `stream`: callers run them in threads. Errors: `NoSpace` when there is no room,
`Unavailable` when the store does not answer, `NotFound` when the bytes are not there.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple, Protocol

from corten.oci.digest import algorithm_of, hex_of


class Stored(NamedTuple):
    """What a listing finds: a blob's location, or an upload's ("uploads/…"); `modified` in seconds since
    1970."""

    location: str
    size: int
    modified: float


def location_of(digest: str, upload: str) -> str:
    """Where the blob that an upload becomes is put: below its digest, and a place of its own.

    >>> location_of("sha256:abcd", "f00d")
    'blobs/sha256/ab/abcd.f00d'
    """
    name = hex_of(digest)
    return f"blobs/{algorithm_of(digest)}/{name[:2]}/{name}.{upload}"


def lost(digest: str) -> str:
    """The location of a blob whose bytes are gone: `check --repair` has found that, and a push will bring
    them again."""
    return f"lost/{digest}"


def is_lost(location: str) -> bool:
    """Whether `location` is one of `lost`."""
    return location.startswith("lost/")


def digest_in(location: str) -> str:
    """The digest that a location of `location_of` is below; "" for any other."""
    parts = location.split("/")
    if len(parts) != 4 or parts[0] != "blobs":
        return ""
    return f"{parts[1]}:{parts[3].partition('.')[0]}"


class Appender(Protocol):
    """The end of an upload, held by one request. Bytes count when `commit` has returned."""

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Appends."""
        ...

    def commit(self) -> str:
        """Makes what was written durable; returns the upload's new state (what the store needs to find it
        again)."""
        ...

    def close(self) -> None:
        """Lets go of the upload; what was not committed is lost. May be called again, and after `commit`."""
        ...


class Adopted(enum.Enum):
    """How a file became a blob: the same file, by a hard link; another file with the same blocks; or anew."""

    LINKED = "linked"
    CLONED = "cloned"
    COPIED = "copied"


class BlobStore(Protocol):
    """Where blobs and unfinished uploads lie."""

    name: str

    def append(self, upload: str, offset: int, state: str) -> Appender:
        """Goes on with an upload that has `offset` bytes; what lies behind them was never committed, and
        goes.

        Conflict when another request holds it; NotFound when its bytes are not there.
        """
        ...

    def adopt(self, path: str, location: str) -> Adopted:
        """A file of this machine, which nobody changes, becomes a blob as well, durably; how."""
        ...

    def read_upload(self, upload: str, state: str, length: int) -> Iterator[bytes]:
        """The first `length` bytes of an upload, in pieces."""
        ...

    def publish(self, upload: str, state: str, size: int, location: str) -> None:
        """The upload's bytes become a blob at `location`, durably. May be repeated after a crash."""
        ...

    def discard(self, upload: str) -> None:
        """Removes what an upload has left; nothing when there is nothing."""
        ...

    def size(self, location: str) -> int | None:
        """The size of a blob; None when it is not there."""
        ...

    def delete(self, location: str) -> None:
        """Removes a blob; nothing when it is not there."""
        ...

    def read(self, location: str) -> Iterator[bytes]:
        """A blob, in pieces of about 1 MiB. NotFound."""
        ...

    def list(self) -> Iterator[Stored]:
        """Everything that lies here: blobs, and uploads as "uploads/<id>…"."""
        ...

    def local_path(self, location: str) -> str | None:
        """The file that holds a blob, for sendfile(2); None when it is not a file of this machine."""
        ...

    def upload_path(self, upload: str) -> str | None:
        """The file that an upload's bytes are appended to, and which its blob will be; None when it is not
        a file of this machine."""
        ...

    def signed_url(self, location: str, seconds: int) -> str | None:
        """A URL at which a client gets the blob from the store itself, for so long; None when the store
        cannot."""
        ...

    def stream(self, location: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Bytes [start, end) of a blob, without blocking."""
        ...

    def check_writable(self) -> None:
        """Raises when nothing can be stored (for readiness)."""
        ...


def upload_location(upload: str) -> str:
    """How a listing and the list of doomed bytes name an upload."""
    return f"uploads/{upload}"


def upload_in(location: str) -> str:
    """The upload that a location of `upload_location` names, or anything below it; "" for a blob's."""
    parts = location.split("/")
    return parts[1].partition(".")[0] if len(parts) >= 2 and parts[0] == "uploads" else ""
