"""What the metadata store gives and takes. Frozen values; times are milliseconds since 1970, sizes are
bytes."""

from __future__ import annotations

import msgspec


class Manifest(msgspec.Struct, frozen=True):
    """A manifest as it was pushed."""

    digest: str
    media_type: str
    payload: bytes


class Blob(msgspec.Struct, frozen=True):
    """A blob that a repository may hand out."""

    digest: str
    size: int
    location: str


class Referrer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A manifest with a subject, as the referrers list describes it. `annotations` is JSON, or "";
    `is_copy`: it came from upstream, and was not pushed here."""

    digest: str
    media_type: str
    artifact_type: str
    size: int
    annotations: str
    is_copy: bool = False


class Upload(msgspec.Struct, frozen=True):
    """A session. `hash` is the digest of the first `offset` bytes, or ""; `state` is the blob store's."""

    id: str
    repository: str
    algorithm: str
    offset: int = 0
    hash: str = ""
    state: str = ""
    target: str = ""


class Reference(msgspec.Struct, frozen=True):
    """What a manifest refers to: a blob, or another manifest. `size` is what the descriptor says; -1:
    unknown.

    What is `optional` is kept when it is there, but may be missing: layers that are fetched from elsewhere.
    """

    digest: str
    size: int
    is_manifest: bool = False
    optional: bool = False


class NewManifest(msgspec.Struct, frozen=True):
    """A manifest that is being pushed, with what it says of itself."""

    digest: str
    media_type: str
    payload: bytes
    artifact_type: str = ""
    subject: str = ""
    annotations: str = ""
    references: tuple[Reference, ...] = ()


class Missing(msgspec.Struct, frozen=True):
    """What a manifest refers to and the repository lacks, or has in another size (`size` -1: lacks)."""

    reference: Reference
    size: int = -1


class Doomed(msgspec.Struct, frozen=True):
    """Bytes that no row needs any more. `digest` is "" for what an upload has left."""

    location: str
    digest: str
    size: int


class Reason(msgspec.Struct, frozen=True):
    """What a dry run of the collector finds: what would go, and why; or what stays for now, and why."""

    repository: str
    digest: str
    size: int
    goes: bool
    why: str


class StoredBlob(msgspec.Struct, frozen=True):
    """A row of the blobs, for `check`."""

    digest: str
    size: int
    location: str
    links: int


class CachedTag(msgspec.Struct, frozen=True):
    """A tag that came from upstream: what it was when it was last `checked`, and upstream's ETag."""

    digest: str
    etag: str
    checked: int


class CachedReferrers(msgspec.Struct, frozen=True):
    """What upstream has said that refers to a manifest, when it was last `checked`."""

    found: tuple[Referrer, ...]
    checked: int


class Pause(msgspec.Struct, frozen=True):
    """An upstream is not to be asked for `kind` (`upstream/limits.py`) until then, and why."""

    kind: str
    until: int
    reason: str


class Evicted(msgspec.Struct, frozen=True):
    """A manifest from upstream that was let go: when it was last used, and what only it needed of blobs."""

    repository: str
    digest: str
    used: int
    size: int


class BrokenReference(msgspec.Struct, frozen=True):
    """A manifest needs what its repository (`key` in the database) does not have."""

    key: int
    repository: str
    manifest: str
    target: str
    is_manifest: bool


class CheckedManifest(msgspec.Struct, frozen=True):
    """A manifest of a repository, with the digests that it needs as the database has them."""

    key: int
    repository: str
    digest: str
    media_type: str
    payload: bytes
    needed: frozenset[str]


class Link(msgspec.Struct, frozen=True):
    """A blob of a repository."""

    key: int
    repository: str
    digest: str
    size: int


class Stored(msgspec.Struct, frozen=True):
    """How much there is."""

    repositories: int
    tags: int
    manifests: int
    blobs: int
    bytes: int
    uploads: int
