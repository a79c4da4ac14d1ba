"""Where a build's results go: what `--output`, `--tag` and `--annotation` say, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from corten.api.build import Attributes
from corten.build.export.annotation import Annotation, is_annotation, parse_annotation, parse_attribute
from corten.build.export.compression import parse_bool, parse_compression
from corten.errors import InvalidArgument
from corten.image.compression import GZIP, PLAIN, Compression
from corten.oci.reference import Reference

STDOUT = "-"
"""The destination that is the client's standard output."""

_FORMAT = frozenset({"compression", "compression-level", "force-compression", "oci-mediatypes"})
_OF_NO_EFFECT = frozenset(
    {
        "attestation-inline",
        "attestation-prefix",
        "buildinfo",
        "buildinfo-attrs",
        "context",
        "prefer-nondist-layers",
        "rewrite-timestamp",  # the plan's
        "unpack",
    }
)
_KNOWN = {
    "image": _FORMAT
    | {
        "name",
        "push",
        "push-by-digest",
        "registry.insecure",
        "dangling-name-prefix",
        "name-canonical",
        "store",
    },
    "oci": _FORMAT | {"name", "dest", "tar"},
    "docker": _FORMAT | {"name", "dest", "tar"},
    "tar": frozenset({"dest", "platform-split"}),
    "local": frozenset({"dest", "platform-split", "mode"}),
    "cacheonly": frozenset[str](),
}
_KNOWN["registry"] = _KNOWN["image"]


class ImageFormat(msgspec.Struct, frozen=True):
    """`oci`: OCI's media types, else Docker's. New layers get `compression`."""

    compression: Compression = PLAIN
    oci: bool = True
    annotations: tuple[Annotation, ...] = ()


class ImageOutput(msgspec.Struct, frozen=True, kw_only=True):
    """`type=image` and `type=registry`. `store`: into the engine's store. `canonical`: named by digest as
    well. `dangling` is the repository that names an image without a name."""

    format: ImageFormat = ImageFormat()
    names: tuple[Reference, ...] = ()
    store: bool = True
    push: bool = False
    push_by_digest: bool = False
    insecure: bool = False
    canonical: bool = False
    dangling: Reference | None = None


class ArchiveOutput(msgspec.Struct, frozen=True, kw_only=True):
    """`type=oci` and `type=docker`. Not `tar`: `destination` is a directory that becomes an image layout, or
    is one already."""

    format: ImageFormat
    docker: bool
    destination: str
    names: tuple[Reference, ...] = ()
    tar: bool = True


class TreeOutput(msgspec.Struct, frozen=True, kw_only=True):
    """`type=tar` and `type=local` (`unpack`): the files themselves. `split`: each platform's in a directory
    of its own; None: when there are several. `delete`: what else is in the directory goes."""

    destination: str
    unpack: bool
    split: bool | None = None
    delete: bool = False


Output = ImageOutput | ArchiveOutput | TreeOutput


def parse_outputs(
    outputs: Sequence[Attributes], tags: Sequence[str] = (), annotations: Sequence[str] = ()
) -> tuple[Output, ...]:
    """The outputs of a build; nothing said means the store. InvalidArgument, Unsupported.

    As with buildx, names given by `--tag` take the place of an output's `name`.
    """
    names = tuple(_name(tag) for tag in tags)
    notes = tuple(note for text in annotations for note in parse_annotation(text))
    given = outputs or [Attributes("image")]
    parsed = [_parse(output, names, notes) for output in given if output.type != "cacheonly"]
    _check_destinations(parsed)
    return tuple(parsed)


def rewrites_timestamps(outputs: Sequence[Attributes]) -> bool:
    """Whether times in new layers become the build's epoch: unless an output says
    `rewrite-timestamp=false`."""
    return all(parse_bool(output.attributes, "rewrite-timestamp", True) for output in outputs)


def _parse(output: Attributes, names: tuple[Reference, ...], notes: tuple[Annotation, ...]) -> Output:
    known = _KNOWN.get(output.type)
    if known is None:
        raise InvalidArgument(f"unknown output type {output.type!r}: expected {', '.join(sorted(_KNOWN))}")
    attributes = {key: value for key, value in output.attributes.items() if not is_annotation(key)}
    for key in attributes:
        if key not in known and key not in _OF_NO_EFFECT:
            raise InvalidArgument(
                f"unknown attribute {key!r} of output type={output.type}: it has "
                f"{', '.join(sorted(known)) or 'none'}"
            )
    if output.type in ("tar", "local"):
        return _tree(output.type, attributes)
    if not names and attributes.get("name"):
        names = tuple(_name(name.strip()) for name in attributes["name"].split(","))
    extra = [parse_attribute(key, value) for key, value in output.attributes.items() if is_annotation(key)]
    all_notes = (*notes, *extra)
    if output.type in ("image", "registry") or (output.type == "docker" and not attributes.get("dest")):
        return _image(output.type, attributes, names, all_notes)
    return _archive(output.type, attributes, names, all_notes)


def _image(
    kind: str, attributes: Mapping[str, str], names: tuple[Reference, ...], notes: tuple[Annotation, ...]
) -> ImageOutput:
    push = parse_bool(attributes, "push", kind == "registry")
    by_digest = parse_bool(attributes, "push-by-digest", False)
    if push and not names:
        raise InvalidArgument(f"output type={kind} is pushed and has no name: give it one by -t or name=")
    prefix = attributes.get("dangling-name-prefix", "")
    return ImageOutput(
        format=_format(attributes, notes, GZIP if push else PLAIN),
        names=names,
        store=parse_bool(attributes, "store", kind != "registry"),
        push=push,
        push_by_digest=by_digest,
        insecure=parse_bool(attributes, "registry.insecure", False),
        canonical=parse_bool(attributes, "name-canonical", False),
        dangling=Reference.parse(prefix, default_tag=False) if prefix else None,
    )


def _archive(
    kind: str, attributes: Mapping[str, str], names: tuple[Reference, ...], notes: tuple[Annotation, ...]
) -> ArchiveOutput:
    tar = parse_bool(attributes, "tar", True)
    destination = _destination(kind, attributes)
    if not tar and destination == STDOUT:
        raise InvalidArgument(f"output type={kind},tar=false needs a directory: dest=DIRECTORY")
    return ArchiveOutput(
        format=_format(attributes, notes, PLAIN),
        docker=kind == "docker",
        destination=destination,
        names=names,
        tar=tar,
    )


def _tree(kind: str, attributes: Mapping[str, str]) -> TreeOutput:
    destination = _destination(kind, attributes)
    if kind == "local" and destination == STDOUT:
        raise InvalidArgument("output type=local needs a directory: dest=DIRECTORY; type=tar has dest=-")
    split = parse_bool(attributes, "platform-split", True) if "platform-split" in attributes else None
    mode = attributes.get("mode") or "copy"
    if mode not in ("copy", "delete"):
        raise InvalidArgument(f"unknown mode {mode!r} of output type={kind}: expected copy or delete")
    return TreeOutput(destination=destination, unpack=kind == "local", split=split, delete=mode == "delete")


def _format(
    attributes: Mapping[str, str], notes: tuple[Annotation, ...], default: Compression
) -> ImageFormat:
    compression = parse_compression(attributes, default=default)
    oci = parse_bool(attributes, "oci-mediatypes", True)
    # As BuildKit: Docker's media types have neither annotations nor zstd, and eStargz needs annotations.
    return ImageFormat(compression, oci or bool(notes) or compression.kind in ("zstd", "estargz"), notes)


def _destination(kind: str, attributes: Mapping[str, str]) -> str:
    destination = attributes.get("dest", "")
    if not destination:
        raise InvalidArgument(f"output type={kind} needs a destination: dest=PATH")
    if destination != STDOUT and not destination.startswith("/"):
        raise InvalidArgument(f"the destination {destination!r} of output type={kind} is not absolute")
    return destination


def _name(text: str) -> Reference:
    reference = Reference.parse(text, default_tag=False)
    if reference.digest is not None:
        raise InvalidArgument(f"cannot name an image by a digest: {text}")
    return reference if reference.tag is not None else reference.with_tag("latest")


def _check_destinations(outputs: Sequence[Output]) -> None:
    seen: set[str] = set()
    for output in outputs:
        if isinstance(output, ImageOutput):
            continue
        if output.destination in seen:
            where = "the standard output" if output.destination == STDOUT else output.destination
            raise InvalidArgument(f"two outputs go to {where}: give each a destination of its own")
        seen.add(output.destination)
