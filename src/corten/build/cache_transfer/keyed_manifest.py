"""What lies under a cache's name in a bucket, or in GitHub's cache: BuildKit's own document (its
cache/remotecache/v1, CacheConfig) with one key more, which holds the cache that Corten knows::

    {"layers": […], "records": […],                     BuildKit's, kept as they are
     "vnd.corten.build.cache.v1": {
         "manifest": {…},                                the OCI manifest, as a registry would have it
         "document": {…}}}                               its config, see `document`

So one request imports a cache; and where the two use one name, BuildKit reads what Corten has written, and is
told of no layers but its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from corten.build.cache_transfer.document import MAX_DOCUMENT_BYTES
from corten.errors import IntegrityError
from corten.oci.digest import sha256_of
from corten.oci.manifest import MAX_MANIFEST_BYTES, Manifest, decode_manifest

MAX_BYTES = 2 * MAX_DOCUMENT_BYTES + MAX_MANIFEST_BYTES
_KEY = "vnd.corten.build.cache.v1"
_NONE = msgspec.Raw(b"[]")


class _Ours(msgspec.Struct, frozen=True):
    manifest: msgspec.Raw
    document: msgspec.Raw


class _Config(msgspec.Struct, frozen=True):
    layers: msgspec.Raw = _NONE
    records: msgspec.Raw = _NONE
    ours: _Ours | None = msgspec.field(default=None, name=_KEY)


@dataclass(frozen=True, slots=True)
class KeyedManifest:
    """A manifest, and the bytes of its config; verified."""

    manifest: Manifest
    document: bytes


def encode_keyed(manifest: bytes, document: bytes, earlier: bytes | None) -> bytes:
    """`earlier` is what lies there now: what BuildKit has in it stays."""
    kept = _Config()
    if earlier is not None:
        try:
            kept = msgspec.json.decode(earlier, type=_Config)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass  # nobody's cache
    ours = _Ours(msgspec.Raw(manifest), msgspec.Raw(document))
    return msgspec.json.encode(msgspec.structs.replace(kept, ours=ours))


def decode_keyed(data: bytes) -> KeyedManifest | None:
    """None when it has no cache of Corten. IntegrityError for what is no cache at all, or is damaged."""
    try:
        ours = msgspec.json.decode(data, type=_Config).ours
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IntegrityError(f"the build cache is no document of BuildKit's or ours: {error}") from error
    if ours is None:
        return None
    manifest, document = decode_manifest(bytes(ours.manifest)), bytes(ours.document)
    if sha256_of(document) != manifest.config.digest:
        raise IntegrityError("the build cache is damaged: its document has another digest")
    return KeyedManifest(manifest, document)
