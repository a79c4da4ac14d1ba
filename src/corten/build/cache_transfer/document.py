"""The cache document: which key has which layers. A format of our own, for our keys are not BuildKit's.

As an OCI artifact, its manifest has the document as config, and the blobs of layers and of cache mounts as
layers; any registry takes it::

    artifactType  application/vnd.corten.build.cache.v1+json
    config        application/vnd.corten.build.cache.v1+json              the document
    layers        application/vnd.oci.image.layer.v1.tar+gzip (or plain, zstd)
                  application/vnd.corten.build.cache.mount.v1.json+zstd   the files of a cache mount
                  application/vnd.corten.build.cache.mount.v1.tar+zstd    contents of such files

What comes from elsewhere is hostile: nothing here names a layer by anything but its digest. Chain IDs are
worked out from diff IDs, never read.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from corten.errors import IntegrityError
from corten.oci.digest import is_digest

CACHE_TYPE = "application/vnd.corten.build.cache.v1+json"
MOUNT_PACK_TYPE = "application/vnd.corten.build.cache.mount.v1.tar+zstd"
MOUNT_INDEX_TYPE = "application/vnd.corten.build.cache.mount.v1.json+zstd"
INLINE_ANNOTATION = "vnd.corten.build.cache.v1"

MAX_DOCUMENT_BYTES = 32 << 20
VERSION = 1

Text = Annotated[str, msgspec.Meta(max_length=2048)]
Position = Annotated[int, msgspec.Meta(ge=0)]


class CacheLayer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`blob` is its position among the manifest's layers; None: a layer of a base image, which is in no
    cache. `made_by` is the key of what made it (see `BuiltLayer`)."""

    diff_id: Text
    made_by: Text = ""
    blob: Position | None = None


class CacheRecord(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`layers` are positions in the document's, bottom first; None: only the key is known. `partial`: see
    `Solved`."""

    key: Text
    partial: Text
    layers: tuple[Position, ...] | None = None


class CacheContent(msgspec.Struct, frozen=True, rename="camel"):
    """The digest of what a copy takes from a file system (`keys.content_key`)."""

    key: Text
    digest: Text


class CachedMount(msgspec.Struct, frozen=True, rename="camel"):
    """A cache mount: `index` is the position of its list of files among the manifest's layers, `packs` are
    those of their contents."""

    id: Text
    index: Position
    packs: tuple[Position, ...] = ()


class CacheDocument(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Everything that one export knows."""

    version: int
    layers: tuple[CacheLayer, ...] = ()
    records: tuple[CacheRecord, ...] = ()
    contents: tuple[CacheContent, ...] = ()
    mounts: tuple[CachedMount, ...] = ()


def encode_document(document: CacheDocument) -> bytes:
    """The same document gives the same bytes."""
    return msgspec.json.encode(document)


def decode_document(data: bytes, blobs: int) -> CacheDocument:
    """A document whose manifest has this many layers. IntegrityError for what is none, or is of a newer
    version."""
    try:
        document = msgspec.json.decode(data, type=CacheDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"the build cache is no document of ours: {error}") from error
    if document.version != VERSION:
        raise IntegrityError(
            f"the build cache has version {document.version}, which this version of corten does not know"
        )
    _check(document, blobs)
    return document


def _check(document: CacheDocument, blobs: int) -> None:
    digests = [layer.diff_id for layer in document.layers]
    digests += [digest for item in document.contents for digest in (item.key, item.digest)]
    for record in document.records:
        digests.append(record.key)
        if any(position >= len(document.layers) for position in record.layers or ()):
            raise IntegrityError("the build cache is damaged: it names a layer that it does not have")
    places = [layer.blob for layer in document.layers if layer.blob is not None]
    places += [place for mount in document.mounts for place in (mount.index, *mount.packs)]
    if any(place >= blobs for place in places):
        raise IntegrityError("the build cache is damaged: it names a blob that it does not have")
    for digest in digests:
        if not is_digest(digest):
            raise IntegrityError(f"the build cache is damaged: {digest[:100]!r} is no digest")
