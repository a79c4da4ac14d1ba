"""`--cache-from` and `--cache-to`: what they say, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from corten.api.build import Attributes
from corten.build.export.compression import parse_bool, parse_compression
from corten.errors import InvalidArgument, Unsupported
from corten.image.compression import GZIP, Compression
from corten.oci.digest import is_digest
from corten.oci.reference import Reference, validate_tag

_FORMAT = frozenset(
    {"compression", "compression-level", "force-compression", "image-manifest", "oci-mediatypes"}
)
_TO = {
    "registry": _FORMAT | {"ref", "mode", "mounts", "ignore-error", "registry.insecure"},
    "local": _FORMAT | {"dest", "tag", "mode", "mounts", "ignore-error"},
    "inline": frozenset({"mode", "ignore-error"}),
}
_FROM = {
    "registry": frozenset({"ref", "registry.insecure", "mounts"}),
    "image": frozenset({"ref", "registry.insecure", "mounts"}),
    "local": frozenset({"src", "tag", "digest", "mounts"}),
}
_OTHERS = ("gha", "s3", "azblob")
_DEFAULT_TAG = "latest"


class RegistryCache(msgspec.Struct, frozen=True):
    """A cache in a registry: an artifact, or an image that brings its cache along."""

    reference: Reference
    insecure: bool = False


class ImageCache(msgspec.Struct, frozen=True):
    """An image that brings its cache along: of the store, or where it has none of the name, of a registry."""

    reference: Reference
    insecure: bool = False


class LocalCache(msgspec.Struct, frozen=True):
    """A cache in a directory of the client: an OCI image layout. `digest` (of the manifest) comes before
    `tag`."""

    directory: str
    tag: str = _DEFAULT_TAG
    digest: str = ""


class InlineCache(msgspec.Struct, frozen=True):
    """A cache in the image itself."""


class CacheImport(msgspec.Struct, frozen=True):
    """One `--cache-from`. `mounts`: cache mounts, where it has any, are taken as well."""

    place: RegistryCache | ImageCache | LocalCache
    mounts: bool = True


class CacheExport(msgspec.Struct, frozen=True, kw_only=True):
    """One `--cache-to`. `mode`: min has the layers of the images that are built, max those of every step;
    keys are all there in both. `mounts`: cache mounts travel along. `ignore_error`: a failure is a remark."""

    place: RegistryCache | LocalCache | InlineCache
    mode: Literal["min", "max"] = "min"
    compression: Compression = GZIP
    mounts: bool = False
    ignore_error: bool = False


def parse_imports(sources: Sequence[Attributes]) -> tuple[CacheImport, ...]:
    """All `--cache-from`; InvalidArgument, Unsupported."""
    return tuple(_import(source) for source in sources)


def parse_exports(targets: Sequence[Attributes]) -> tuple[CacheExport, ...]:
    """All `--cache-to`; InvalidArgument, Unsupported."""
    return tuple(_export(target) for target in targets)


def _import(source: Attributes) -> CacheImport:
    attributes = _checked("cache-from", source, _FROM)
    mounts = parse_bool(attributes, "mounts", True)
    if source.type in ("registry", "image"):
        place = _registry("cache-from", attributes, source.type)
        if source.type == "image":
            return CacheImport(ImageCache(place.reference, place.insecure), mounts)
        return CacheImport(place, mounts)
    directory = _directory("cache-from", "src", attributes)
    digest = attributes.get("digest", "")
    if digest and not is_digest(digest):
        raise InvalidArgument(f"--cache-from type=local: {digest!r} is no digest")
    return CacheImport(LocalCache(directory, _tag(attributes), digest), mounts)


def _export(target: Attributes) -> CacheExport:
    attributes = _checked("cache-to", target, _TO)
    mode = attributes.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidArgument(f"--cache-to: unknown mode {mode!r}: expected min or max")
    for key in ("image-manifest", "oci-mediatypes"):
        if not parse_bool(attributes, key, True):
            raise InvalidArgument(f"--cache-to: {key}=false is not built: caches are OCI image manifests")
    place: RegistryCache | LocalCache | InlineCache
    if target.type == "registry":
        place = _registry("cache-to", attributes)
    elif target.type == "local":
        place = LocalCache(_directory("cache-to", "dest", attributes), _tag(attributes))
    else:
        place = InlineCache()
        if mode == "max":
            raise InvalidArgument(
                "--cache-to type=inline has only the layers of the image: use type=registry for mode=max"
            )
    return CacheExport(
        place=place,
        mode="max" if mode == "max" else "min",
        compression=parse_compression(attributes, default=GZIP),
        mounts=parse_bool(attributes, "mounts", False),
        ignore_error=parse_bool(attributes, "ignore-error", False),
    )


def _checked(flag: str, given: Attributes, known: Mapping[str, frozenset[str]]) -> Mapping[str, str]:
    keys = known.get(given.type)
    if keys is None:
        kinds = ", ".join(known)
        if given.type in _OTHERS:
            raise Unsupported(f"--{flag} type={given.type} is not built: use one of {kinds}")
        raise InvalidArgument(f"--{flag}: unknown type {given.type!r}: expected {kinds}")
    for key in given.attributes:
        if key not in keys:
            raise InvalidArgument(
                f"--{flag} type={given.type}: unknown attribute {key!r}: it has {', '.join(sorted(keys))}"
            )
    return given.attributes


def _registry(flag: str, attributes: Mapping[str, str], kind: str = "registry") -> RegistryCache:
    text = attributes.get("ref", "")
    if not text:
        raise InvalidArgument(f"--{flag} type={kind} needs a reference: ref=REGISTRY/NAME:TAG")
    reference = Reference.parse(text)
    if flag == "cache-to" and reference.digest is not None:
        raise InvalidArgument(f"--{flag}: cannot export to a digest: {text}")
    return RegistryCache(reference, parse_bool(attributes, "registry.insecure", False))


def _directory(flag: str, key: str, attributes: Mapping[str, str]) -> str:
    path = attributes.get(key, "")
    if not path.startswith("/"):
        raise InvalidArgument(f"--{flag} type=local needs a directory: {key}=DIRECTORY")
    return path


def _tag(attributes: Mapping[str, str]) -> str:
    return validate_tag(attributes.get("tag") or _DEFAULT_TAG)
