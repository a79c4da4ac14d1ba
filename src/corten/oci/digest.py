"""Digests: `algorithm:hex`, as the OCI image-spec's descriptor section defines them."""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from corten.errors import InvalidArgument

Digest = NewType("Digest", str)
"""A digest that has been validated, e.g. `sha256:e3b0…` (a plain str for msgspec and SQLite)."""

_HEX_LENGTH = {"sha256": 64, "sha512": 128, "sha384": 96}
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]+)")
_HEX = re.compile(r"[0-9a-f]{64}")


def parse_digest(text: str) -> Digest:
    """`text` as a Digest; raises InvalidArgument when it is none or its algorithm is unknown."""
    match = _DIGEST.fullmatch(text)
    if match is None or len(match[2]) != _HEX_LENGTH[match[1]]:
        raise InvalidArgument(
            f"invalid digest {text[:200]!r}: expected sha256:<64 hex digits> or sha512:<128>"
        )
    return Digest(text)


def is_digest(text: str) -> bool:
    """Whether `text` is a valid digest."""
    match = _DIGEST.fullmatch(text)
    return match is not None and len(match[2]) == _HEX_LENGTH[match[1]]


def is_hex_id(text: str) -> bool:
    """Whether `text` is a full image or container ID: 64 lower-case hexadecimal digits."""
    return _HEX.fullmatch(text) is not None


def algorithm_of(digest: str) -> str:
    """`sha256` of `sha256:abc`."""
    return digest.partition(":")[0]


def hex_of(digest: str) -> str:
    """`abc` of `sha256:abc`."""
    return digest.partition(":")[2]


def sha256_of(data: bytes | bytearray | memoryview) -> Digest:
    """The sha256 digest of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def chain_ids(diff_ids: list[str] | tuple[str, ...]) -> tuple[Digest, ...]:
    """The chain IDs of a stack of layers, bottom first (OCI image-spec, config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        if chain:
            chain.append(sha256_of(f"{chain[-1]} {diff_id}".encode()))
        else:
            chain.append(parse_digest(diff_id))
    return tuple(chain)
