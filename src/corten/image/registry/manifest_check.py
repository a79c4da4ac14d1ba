"""Whether a manifest that a registry sent is what was asked for: digest, media type, shape."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from corten.errors import IntegrityError, Unsupported
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, algorithm_of, is_digest
from corten.oci.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    decode_index,
    decode_manifest,
    media_type_of,
)

ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
_OLD = "application/vnd.docker.distribution.manifest.v1+"
_ANY = ("", "application/json", "application/octet-stream", "text/plain")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or index as the registry has it; `descriptor` was verified against `data`."""

    descriptor: Descriptor
    data: bytes


def check_manifest(reference: str, headers: Mapping[str, str], data: bytes, what: str, host: str) -> Fetched:
    """IntegrityError for what lies, Unsupported for what nobody reads any more."""
    told = headers.get("Docker-Content-Digest", "")
    expected = reference if is_digest(reference) else told if is_digest(told) else ""
    algorithm = algorithm_of(expected) if expected else "sha256"
    digest = Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
    if expected and digest != expected:
        raise IntegrityError(f"cannot {what}: digest mismatch: {host} sent {digest} instead of {expected}")
    stated = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if stated.startswith(_OLD):
        raise Unsupported(
            f"cannot {what}: it has a manifest of schema 1, which is obsolete: push the image again with a "
            "current tool"
        )
    if stated not in MANIFEST_TYPES | INDEX_TYPES and stated not in _ANY:
        raise IntegrityError(f"cannot {what}: {host} sent {stated[:100]!r} instead of an image manifest")
    inside = media_type_of(data)
    kind = inside if stated in _ANY else stated
    if kind not in MANIFEST_TYPES | INDEX_TYPES:
        raise IntegrityError(f"cannot {what}: {host} sent {kind[:100]!r} instead of an image manifest")
    if (kind in INDEX_TYPES) != (inside in INDEX_TYPES):
        raise IntegrityError(f"cannot {what}: {host} says {kind}, but sent {inside[:100]}")
    if kind in INDEX_TYPES:
        decode_index(data)
    else:
        decode_manifest(data)
    return Fetched(Descriptor(kind, digest, len(data)), data)
