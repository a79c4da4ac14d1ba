"""What a pushed manifest says, checked before anything is stored (OCI image-spec, manifest.md and
image-index.md; Docker's "Image Manifest Version 2, Schema 2")."""

from __future__ import annotations

import hashlib

import msgspec

from corten.oci.digest import algorithm_of
from corten.oci.manifest import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.records import NewManifest, Reference
from corten.registry.names import is_supported_digest

# Layers that are fetched from elsewhere, by their `urls` (image-spec, "non-distributable"; Docker's
# "foreign").
_FOREIGN = ("nondistributable", "foreign")
_KNOWN = frozenset({OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX})


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    urls: list[str] | None = None


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    artifact_type: str = ""
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    blobs: list[_Descriptor] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None


_DECODER = msgspec.json.Decoder(_Document)


def _invalid(message: str) -> RegistryError:
    return RegistryError(Code.MANIFEST_INVALID, f"invalid manifest: {message}")


def read_manifest(payload: bytes, content_type: str, digest: str, limit: int) -> NewManifest:
    """A manifest with everything that the registry keeps of it. `digest` "" means: by sha256.

    Raises RegistryError: MANIFEST_INVALID, DIGEST_INVALID.
    """
    algorithm = algorithm_of(digest) if digest else "sha256"
    actual = f"{algorithm}:{hashlib.new(algorithm, payload).hexdigest()}"
    if digest and actual != digest:
        raise RegistryError(
            Code.DIGEST_INVALID,
            f"the manifest's digest is {actual}, not {digest}",
            {"digest": digest, "actual": actual},
        )
    try:
        document = _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(str(error) or "nested too deeply") from error
    media_type = _media_type(document, content_type)
    references = _references(document, media_type)
    if len(references) > limit:
        raise _invalid(f"{len(references)} references, and {limit} are the most that is accepted")
    annotations = document.annotations or {}
    artifact_type = document.artifact_type
    if not artifact_type and document.config is not None and media_type not in (OCI_INDEX, DOCKER_INDEX):
        # distribution-spec, "Listing Referrers": the config's media type stands in.
        artifact_type = document.config.media_type
    subject = document.subject.digest if document.subject is not None else ""
    if subject and not is_supported_digest(subject):
        raise _invalid(f"{subject[:200]!r}, its subject, is not a digest")
    return NewManifest(
        digest=actual,
        media_type=media_type,
        payload=payload,
        artifact_type=artifact_type,
        subject=subject,
        annotations=msgspec.json.encode(annotations).decode() if annotations and subject else "",
        references=references,
    )


def _media_type(document: _Document, content_type: str) -> str:
    """The Content-Type of the request, or the document's own; both must agree."""
    media_type = content_type.partition(";")[0].strip()
    if document.schema_version == 1:
        raise _invalid(
            "its schema version is 1, which went out of use in 2017: push it again with a newer client"
        )
    if media_type in ("", "application/json", "application/octet-stream"):
        media_type = document.media_type
    if not media_type:
        media_type = OCI_INDEX if document.manifests is not None else OCI_MANIFEST
    if document.media_type and document.media_type != media_type:
        raise _invalid(f"it says that it is {document.media_type!r}, and was sent as {media_type!r}")
    if media_type in _KNOWN and document.schema_version != 2:
        raise _invalid(f"its schema version is {document.schema_version}, not 2")
    if len(media_type) > 255 or not media_type.isprintable() or "/" not in media_type:
        raise _invalid(f"{media_type[:100]!r} is not a media type")
    return media_type


def _references(document: _Document, media_type: str) -> tuple[Reference, ...]:
    found: dict[str, Reference] = {}
    if media_type in (OCI_INDEX, DOCKER_INDEX):
        if document.manifests is None:
            raise _invalid("an index lists manifests, and this has none")
        for child in document.manifests:
            _note(found, child, is_manifest=True)
        return tuple(found.values())
    if media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        if document.config is None or document.layers is None:
            raise _invalid("an image has a config and layers, and this lacks one of them")
        if document.manifests is not None:
            raise _invalid("it has layers and manifests at once")
    for descriptor in (document.config, *(document.layers or ()), *(document.blobs or ())):
        if descriptor is not None:
            _note(found, descriptor, is_manifest=False)
    return tuple(found.values())


def _is_foreign(descriptor: _Descriptor) -> bool:
    return bool(descriptor.urls) and any(word in descriptor.media_type for word in _FOREIGN)


def _note(found: dict[str, Reference], descriptor: _Descriptor, *, is_manifest: bool) -> None:
    if not is_supported_digest(descriptor.digest):
        raise _invalid(f"{descriptor.digest[:200]!r} is not a digest that is supported")
    if not 0 <= descriptor.size < 1 << 63:
        raise _invalid(f"{descriptor.digest} cannot have the size that it says")
    known = found.get(descriptor.digest)
    if known is not None and known.size != descriptor.size:
        raise _invalid(f"{descriptor.digest} is listed with two sizes")
    found[descriptor.digest] = Reference(
        descriptor.digest, descriptor.size, is_manifest, optional=_is_foreign(descriptor)
    )
