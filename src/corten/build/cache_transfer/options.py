"""`--cache-from` and `--cache-to`: what they say, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from corten.api.build import Attributes
from corten.build.cache_transfer.actions.options import ACTIONS_KEYS, ActionsCache, parse_actions
from corten.build.cache_transfer.bucket.options import (
    AZURE_KEYS,
    S3_KEYS,
    AzureCache,
    S3Cache,
    parse_azure,
    parse_s3,
)
from corten.build.export.compression import parse_bool, parse_compression
from corten.errors import InvalidArgument
from corten.image.compression import GZIP, Compression
from corten.oci.digest import is_digest
from corten.oci.reference import Reference, validate_tag

_COMPRESSION = frozenset({"compression", "compression-level", "force-compression"})
_FORMAT = _COMPRESSION | {"image-manifest", "oci-mediatypes"}
_EXPORT = frozenset({"mode", "mounts", "ignore-error"})
_TO = {
    "registry": _FORMAT | _EXPORT | {"ref", "registry.insecure"},
    "local": _FORMAT | _EXPORT | {"dest", "tag"},
    "inline": frozenset({"mode", "ignore-error"}),
    "s3": S3_KEYS | _COMPRESSION | _EXPORT,
    "azblob": AZURE_KEYS | _COMPRESSION | _EXPORT,
    "gha": ACTIONS_KEYS | _COMPRESSION | _EXPORT,
}
_FROM = {
    "registry": frozenset({"ref", "registry.insecure", "mounts"}),
    "image": frozenset({"ref", "registry.insecure", "mounts"}),
    "local": frozenset({"src", "tag", "digest", "mounts"}),
    "s3": S3_KEYS | {"mounts"},
    "azblob": AZURE_KEYS | {"mounts"},
    "gha": ACTIONS_KEYS | {"mounts"},
}
_DEFAULT_TAG = "latest"


class RegistryCache(msgspec.Struct, frozen=True):
    """A cache in a registry: an artifact, or an image that brings its cache along."""

    reference: Reference
    insecure: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.reference.familiar

    @property
    def title(self) -> str:
        """The same with its kind."""
        return f"registry {self.name}"


class ImageCache(msgspec.Struct, frozen=True):
    """An image that brings its cache along: of the store, or where it has none of the name, of a registry."""

    reference: Reference
    insecure: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return self.reference.familiar

    @property
    def title(self) -> str:
        """The same with its kind."""
        return f"image {self.name}"


class LocalCache(msgspec.Struct, frozen=True):
    """A cache in a directory of the client: an OCI image layout. `digest` (of the manifest) comes before
    `tag`."""

    directory: str
    tag: str = _DEFAULT_TAG
    digest: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return self.directory

    @property
    def title(self) -> str:
        """The same with its kind."""
        return f"client directory {self.name}"


class InlineCache(msgspec.Struct, frozen=True):
    """A cache in the image itself."""

    @property
    def name(self) -> str:
        """For messages."""
        return "the image"

    @property
    def title(self) -> str:
        """The same."""
        return self.name


ImportPlace = RegistryCache | ImageCache | LocalCache | S3Cache | AzureCache | ActionsCache
ExportPlace = RegistryCache | LocalCache | InlineCache | S3Cache | AzureCache | ActionsCache


class CacheImport(msgspec.Struct, frozen=True):
    """One `--cache-from`. `mounts`: cache mounts, where it has any, are taken as well."""

    place: ImportPlace
    mounts: bool = True


class CacheExport(msgspec.Struct, frozen=True, kw_only=True):
    """One `--cache-to`. `mode`: min has the layers of the images that are built, max those of every step;
    keys are all there in both. `mounts`: cache mounts travel along. `ignore_error`: a failure is a remark."""

    place: ExportPlace
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
    return CacheImport(_import_place(source.type, attributes), parse_bool(attributes, "mounts", True))


def _import_place(kind: str, attributes: Mapping[str, str]) -> ImportPlace:
    if kind == "registry":
        return _registry("cache-from", attributes)
    if kind == "image":
        place = _registry("cache-from", attributes, kind)
        return ImageCache(place.reference, place.insecure)
    if kind == "s3":
        return parse_s3("cache-from", attributes)
    if kind == "azblob":
        return parse_azure("cache-from", attributes)
    if kind == "gha":
        return parse_actions("cache-from", attributes)
    directory = _directory("cache-from", "src", attributes)
    digest = attributes.get("digest", "")
    if digest and not is_digest(digest):
        raise InvalidArgument(f"--cache-from type=local: {digest!r} is no digest")
    return LocalCache(directory, _tag(attributes), digest)


def _export(target: Attributes) -> CacheExport:
    attributes = _checked("cache-to", target, _TO)
    mode = attributes.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidArgument(f"--cache-to: unknown mode {mode!r}: expected min or max")
    for key in ("image-manifest", "oci-mediatypes"):
        if not parse_bool(attributes, key, True):
            raise InvalidArgument(f"--cache-to: {key}=false is not built: caches are OCI image manifests")
    if target.type == "inline" and mode == "max":
        raise InvalidArgument(
            "--cache-to type=inline has only the layers of the image: use type=registry for mode=max"
        )
    return CacheExport(
        place=_export_place(target.type, attributes),
        mode="max" if mode == "max" else "min",
        compression=parse_compression(attributes, default=GZIP),
        mounts=parse_bool(attributes, "mounts", False),
        ignore_error=parse_bool(attributes, "ignore-error", False),
    )


def _export_place(kind: str, attributes: Mapping[str, str]) -> ExportPlace:
    if kind == "registry":
        return _registry("cache-to", attributes)
    if kind == "local":
        return LocalCache(_directory("cache-to", "dest", attributes), _tag(attributes))
    if kind == "s3":
        return parse_s3("cache-to", attributes)
    if kind == "azblob":
        return parse_azure("cache-to", attributes)
    if kind == "gha":
        return parse_actions("cache-to", attributes)
    return InlineCache()


def _checked(flag: str, given: Attributes, known: Mapping[str, frozenset[str]]) -> Mapping[str, str]:
    keys = known.get(given.type)
    if keys is None:
        raise InvalidArgument(f"--{flag}: unknown type {given.type!r}: expected {', '.join(known)}")
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
