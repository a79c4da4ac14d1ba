"""Reads eStargz as its document describes it, with nothing of ours."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from typing import Any


def toc_offset(blob: bytes) -> int:
    """What the footer's extra field says."""
    footer = blob[-51:]
    assert footer[:4] == b"\x1f\x8b\x08\x04"
    assert footer[10:12] == (26).to_bytes(2, "little")
    assert footer[12:16] == b"SG" + (22).to_bytes(2, "little")
    assert footer[32:38] == b"STARGZ"
    assert member(blob, len(blob) - 51) == b""
    return int(footer[16:32], 16)


def member(blob: bytes, offset: int) -> bytes:
    """The one gzip member that begins there."""
    inflate = zlib.decompressobj(wbits=31)
    data = inflate.decompress(blob[offset:]) + inflate.flush()
    assert inflate.eof
    return data


def toc(blob: bytes) -> tuple[dict[str, Any], str]:
    """The table of contents, and its digest."""
    with tarfile.open(fileobj=io.BytesIO(member(blob, toc_offset(blob)))) as archive:
        (entry,) = archive.getmembers()
        assert entry.name == "stargz.index.json"
        file = archive.extractfile(entry)
        assert file is not None
        data = file.read()
    return json.loads(data), f"sha256:{hashlib.sha256(data).hexdigest()}"


def files(blob: bytes) -> dict[str, bytes]:
    """The contents of all regular files, each chunk by its offset alone, with its digest checked."""
    found: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    digests: dict[str, str] = {}
    for entry in toc(blob)[0]["entries"]:
        name = entry["name"]
        if entry["type"] == "reg":
            found[name], sizes[name], digests[name] = b"", entry.get("size", 0), entry["digest"]
            if not entry.get("size"):
                continue
        elif entry["type"] != "chunk":
            continue
        assert entry.get("chunkOffset", 0) == len(found[name])
        rest = sizes[name] - len(found[name])
        data = member(blob, entry["offset"])[: entry.get("chunkSize") or rest]
        assert entry["chunkDigest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        found[name] += data
    for name, data in found.items():
        assert len(data) == sizes[name]
        assert digests[name] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    return found
