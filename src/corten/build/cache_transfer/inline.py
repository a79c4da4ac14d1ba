"""The cache in the image itself: the document as an annotation of the manifest, so that the image's ID is the
same with and without it."""

from __future__ import annotations

import base64
import binascii

import zstandard

from corten.build.cache_transfer.document import (
    INLINE_ANNOTATION,
    MAX_DOCUMENT_BYTES,
    CacheDocument,
    decode_document,
    encode_document,
)
from corten.build.cache_transfer.inflate import inflated
from corten.errors import IntegrityError, Unsupported
from corten.oci.manifest import MAX_MANIFEST_BYTES, Manifest

_MAX_BYTES = MAX_MANIFEST_BYTES // 2


def annotations_of(document: CacheDocument) -> dict[str, str]:
    """Unsupported when it is too much for a manifest."""
    data = zstandard.ZstdCompressor(level=9).compress(encode_document(document))
    text = base64.b64encode(data).decode()
    if len(text) > _MAX_BYTES:
        raise Unsupported(
            f"the build cache has {len(text)} bytes, which do not fit into an image's manifest: use "
            "--cache-to type=registry"
        )
    return {INLINE_ANNOTATION: text}


def document_of(manifest: Manifest) -> CacheDocument | None:
    """None when the image has none. IntegrityError, ArchiveError."""
    text = (manifest.annotations or {}).get(INLINE_ANNOTATION)
    if text is None:
        return None
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise IntegrityError(f"the build cache of an image is damaged: {error}") from error
    data = inflated(packed, MAX_DOCUMENT_BYTES, "build cache of an image")
    return decode_document(data, len(manifest.layers))
