"""The table of contents of an eStargz layer, the footer that points to it, and what a descriptor says of it
(stargz-snapshotter, docs/estargz.md: "TOC, TOCEntries and Footer", "Content Verification in eStargz")."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from corten.errors import Unsupported
from corten.oci.digest import Digest
from corten.snapshot import tar_header as h
from corten.snapshot.tar_header import Entry

TOC_NAME = "stargz.index.json"
NO_PREFETCH_LANDMARK = ".no.prefetch.landmark"
PREFETCH_LANDMARK = ".prefetch.landmark"
LANDMARK_CONTENTS = b"\x0f"

TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
UNCOMPRESSED_SIZE = "io.containers.estargz.uncompressed-size"

_TYPES = {
    h.REGULAR: "reg",
    h.REGULAR_OLD: "reg",
    h.CONTIGUOUS: "reg",
    h.HARD_LINK: "hardlink",
    h.SYMLINK: "symlink",
    h.DIRECTORY: "dir",
    h.CHARACTER: "char",
    h.BLOCK_DEVICE: "block",
    h.FIFO: "fifo",
}
_NANOSECONDS = 1_000_000_000
_LATEST = 253_402_300_799
"""The last second that RFC 3339 can write."""


class TocEntry(msgspec.Struct, rename="camel", omit_defaults=True):
    """A file, or one chunk of a file that has several; offsets and sizes in bytes. `offset` is where its gzip
    member begins; `chunk_size` is 0 for a file's last chunk. Not frozen: an offset is known late."""

    name: str
    type: str
    size: int = 0
    modtime: str = ""
    link_name: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    user_name: str = ""
    group_name: str = ""
    offset: int = 0
    dev_major: int = 0
    dev_minor: int = 0
    num_link: int = msgspec.field(name="NumLink", default=0)
    xattrs: dict[str, str] = {}
    digest: str = ""
    chunk_offset: int = 0
    chunk_size: int = 0
    chunk_digest: str = ""


class Toc(msgspec.Struct, frozen=True):
    """`entries` in the order of the layer."""

    version: int
    entries: list[TocEntry]


class Facts(msgspec.Struct, frozen=True):
    """What is to be known of an eStargz layer besides its bytes: `diff_id` and `size` are those of its
    uncompressed tar, its table of contents among it."""

    diff_id: Digest
    toc_digest: Digest
    size: int

    def annotations(self) -> dict[str, str]:
        """What its descriptor says."""
        return {TOC_DIGEST: self.toc_digest, UNCOMPRESSED_SIZE: str(self.size)}


def is_estargz(annotations: Mapping[str, str] | None) -> bool:
    """Whether a descriptor with these annotations says that its layer is one."""
    return TOC_DIGEST in (annotations or {})


def own_annotations(annotations: Mapping[str, str] | None) -> dict[str, str] | None:
    """Of a descriptor's annotations those that are about eStargz."""
    found = {
        key: value for key, value in (annotations or {}).items() if key in (TOC_DIGEST, UNCOMPRESSED_SIZE)
    }
    return found or None


def without_own(annotations: Mapping[str, str] | None) -> dict[str, str] | None:
    """The others."""
    found = {
        key: value for key, value in (annotations or {}).items() if key not in (TOC_DIGEST, UNCOMPRESSED_SIZE)
    }
    return found or None


def toc_entry(entry: Entry) -> TocEntry:
    """The entry of a member of a tar, without offset and digests. Unsupported for what a table of contents
    cannot tell."""
    name = _text(entry.name, entry)
    if name.strip("/").removeprefix("./") == TOC_NAME:
        raise Unsupported(
            f"a layer with a file {TOC_NAME} cannot become eStargz, which has a file of that name itself: "
            "use compression=gzip"
        )
    if entry.sparse is not None:
        raise Unsupported(f"the layer's file {name!r} is sparse, which eStargz is not: use compression=gzip")
    kind = _TYPES[entry.type]
    device = kind in ("char", "block")
    return TocEntry(
        name,
        kind,
        size=entry.size if kind == "reg" else 0,
        modtime=_time(entry.mtime_ns),
        link_name=_text(entry.linkname, entry) if kind in ("hardlink", "symlink") else "",
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        user_name=_text(entry.uname, entry),
        group_name=_text(entry.gname, entry),
        dev_major=entry.devmajor if device else 0,
        dev_minor=entry.devminor if device else 0,
        xattrs={
            _text(key, entry): base64.b64encode(value).decode()
            for key, value in sorted((entry.xattrs or {}).items())
        },
    )


def encode_toc(entries: list[TocEntry]) -> bytes:
    """The JSON; the same entries give the same bytes."""
    return msgspec.json.encode(Toc(1, entries))


def footer(offset: int) -> bytes:
    """51 bytes: an empty gzip member whose extra field says where the TOC's member begins."""
    field = b"%016xSTARGZ" % offset
    extra = b"SG" + struct.pack("<H", len(field)) + field
    header = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff" + struct.pack("<H", len(extra)) + extra
    return header + b"\x01\x00\x00\xff\xff" + bytes(8)


def _text(data: bytes, entry: Entry) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        shown = entry.name.decode("utf-8", "backslashreplace")
        raise Unsupported(
            f"the layer's file {shown!r} has a name that is no UTF-8, which the JSON of eStargz cannot hold: "
            "use compression=gzip"
        ) from None


def _time(nanoseconds: int) -> str:
    """In whole seconds; empty for 1970 and for what RFC 3339 cannot write: unknown."""
    seconds = (nanoseconds + _NANOSECONDS // 2) // _NANOSECONDS
    if not 0 < seconds <= _LATEST:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
