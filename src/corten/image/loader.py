"""What an archive's files mean: which images it holds, under which names, for which platform."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from corten.content import Lease
from corten.errors import ArchiveError, IntegrityError, InvalidArgument, NotFound
from corten.image.archive_intake import LayerIntake, OpenArchive
from corten.image.archive_reader import Archive, ArchiveFile, ArchiveReader, ByteSource
from corten.image.model import Image, Loaded, Report
from corten.image.registrar import Registrar
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, is_hex_id
from corten.oci.image_config import decode_config
from corten.oci.manifest import (
    CONTAINERD_NAME,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    REF_NAME,
    decode_index,
    decode_manifest,
    media_type_of,
)
from corten.oci.platform import Platform, choose
from corten.oci.reference import Reference
from corten.snapshot.snapshotter import Session

_LAYER_TYPES = {"plain": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


class _DockerImage(msgspec.Struct, rename="pascal"):
    """An element of a docker-archive's manifest.json."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """An image of the archive: `target` is what its name points to (an index, or the manifest itself)."""

    manifest: Descriptor
    target: Descriptor
    names: tuple[Reference, ...]


class Loader:
    """Loads archives into one registrar's store."""

    def __init__(self, registrar: Registrar, platform: Platform, report: Report) -> None:
        self._registrar = registrar
        self._content = registrar.content
        self._platform = platform
        self._report = report

    def load(self, source: ByteSource | OpenArchive | str) -> list[Loaded]:
        """A stream, a file, or the path of an OCI layout directory. After a failure nothing of it is left."""
        try:
            with contextlib.ExitStack() as stack:
                lease = stack.enter_context(self._content.lease())
                fds: tuple[int, ...] = ()
                if isinstance(source, OpenArchive):
                    intake = stack.enter_context(LayerIntake(source, self._content, self._report))
                    fds = (source.fd,)
                session = stack.enter_context(self._registrar.snapshotter.session(fds=fds))
                reader = ArchiveReader(self._content, lease, session, self._report)
                if isinstance(source, str):
                    archive = reader.read_directory(source)
                elif isinstance(source, OpenArchive):
                    archive = reader.read_file(intake)
                else:
                    archive = reader.read_stream(source)
                found = self._find(archive, reader, lease)
                return self._register(found, session)
        finally:
            self._registrar.collect()

    def _register(self, found: Sequence[_Found], session: Session) -> list[Loaded]:
        """All layers first, then all rows and names: a broken image leaves none half-named."""
        made: list[tuple[Image, _Found]] = []
        with contextlib.ExitStack() as kept:
            plans = [
                kept.enter_context(self._registrar.unpacked(item.manifest, session, self._report))
                for item in found
            ]
            with self._registrar.tables.transaction():
                for plan, item in zip(plans, found, strict=True):
                    image = self._registrar.record(plan)
                    made.append((image, item))
                    for name in item.names:
                        self._registrar.name(image.id, name, item.target)
        self._registrar.write_index()
        return [Loaded(image.id, tuple(name.familiar for name in item.names)) for image, item in made]

    def _find(self, archive: Archive, reader: ArchiveReader, lease: Lease) -> list[_Found]:
        docker = archive.find("manifest.json")
        index = archive.find("index.json")
        if index is not None and archive.find("oci-layout") is not None:
            names = self._names_by_config(self._docker_images(docker)) if docker is not None else {}
            found = self._oci(archive, reader, index, names)
        elif docker is not None:
            found = [self._docker(archive, reader, item, lease) for item in self._docker_images(docker)]
        else:
            raise ArchiveError("this is no image archive: it holds neither manifest.json nor an OCI layout")
        if not found:
            raise ArchiveError("the image archive holds no image")
        return found

    # -- docker-archive

    def _docker_images(self, file: ArchiveFile) -> list[_DockerImage]:
        try:
            return msgspec.json.decode(self._document(file, "manifest.json"), type=list[_DockerImage])
        except msgspec.MsgspecError as error:
            raise ArchiveError(f"the image archive's manifest.json is malformed: {error}") from error

    def _names_by_config(self, images: list[_DockerImage]) -> dict[str, list[Reference]]:
        result: dict[str, list[Reference]] = {}
        for item in images:
            name = item.config.rpartition("/")[2].removesuffix(".json")
            result.setdefault(name, []).extend(Reference.parse(tag) for tag in item.repo_tags or ())
        return result

    def _docker(self, archive: Archive, reader: ArchiveReader, item: _DockerImage, lease: Lease) -> _Found:
        config_file = self._need(archive, item.config)
        data = self._document(config_file, item.config)
        stated = item.config.rpartition("/")[2].removesuffix(".json")
        if is_hex_id(stated) and config_file.digest != f"sha256:{stated}":
            raise IntegrityError(
                f"digest mismatch: {item.config} in the archive has the digest {config_file.digest}"
            )
        config = decode_config(data)
        names = item.layers or []
        if len(names) != len(config.diff_ids):
            raise IntegrityError(
                f"the image archive is inconsistent: {item.config} names {len(config.diff_ids)} layers, "
                f"manifest.json {len(names)}"
            )
        layers = []
        for name in names:
            file = self._need(archive, name)
            reader.store(file)
            layers.append(Descriptor(_LAYER_TYPES.get(file.compression, OCI_LAYER), file.digest, file.size))
        reader.store(config_file)
        descriptor = Descriptor(OCI_CONFIG, config_file.digest, config_file.size)
        manifest = self._registrar.add_manifest(descriptor, layers, lease)
        return _Found(manifest, manifest, tuple(Reference.parse(tag) for tag in item.repo_tags or ()))

    # -- OCI layouts

    def _oci(
        self,
        archive: Archive,
        reader: ArchiveReader,
        file: ArchiveFile,
        by_config: dict[str, list[Reference]],
    ) -> list[_Found]:
        found: dict[tuple[str, str], _Found] = {}
        for entry in decode_index(self._document(file, "index.json")).manifests:
            target = msgspec.structs.replace(entry, annotations=None, platform=None)
            manifest = self._descend(archive, reader, entry, depth=0)
            if manifest is None:
                continue
            config = decode_manifest(self._document(self._blob(archive, manifest.digest), "manifest")).config
            names = _annotated(entry) or tuple(by_config.get(config.digest.partition(":")[2], ()))
            key = (manifest.digest, target.digest)
            earlier = found[key].names if key in found else ()
            found[key] = _Found(manifest, target, tuple(dict.fromkeys((*earlier, *names))))
        return list(found.values())

    def _descend(
        self, archive: Archive, reader: ArchiveReader, entry: Descriptor, *, depth: int
    ) -> Descriptor | None:
        """The manifest for this platform below `entry`, its blobs stored; None for what is no image."""
        file = self._blob(archive, entry.digest)
        data = self._document(file, str(entry.digest))
        if file.size != entry.size:
            raise IntegrityError(
                f"blob {entry.digest} has {file.size} bytes instead of the {entry.size} announced"
            )
        kind = entry.media_type or media_type_of(data)
        if kind in INDEX_TYPES:
            if depth > 4:
                raise ArchiveError(f"the image archive is refused: index {entry.digest} is nested too deeply")
            reader.store(file)
            return self._choose(archive, reader, entry, data, depth)
        if kind not in MANIFEST_TYPES:
            return None
        manifest = decode_manifest(data)
        if manifest.config.media_type.startswith("application/vnd.oci.empty"):
            return None  # an artifact (signature, SBOM)
        reader.store(file)
        for blob in (manifest.config, *manifest.layers):
            part = self._blob(archive, blob.digest)
            if part.size != blob.size:
                raise IntegrityError(
                    f"blob {blob.digest} has {part.size} bytes instead of the {blob.size} announced"
                )
            reader.store(part)
        return Descriptor(kind, file.digest, file.size)

    def _choose(
        self, archive: Archive, reader: ArchiveReader, entry: Descriptor, data: bytes, depth: int
    ) -> Descriptor | None:
        children = decode_index(data).manifests
        present = [child for child in children if self._has(archive, child.digest)]
        position = choose([child.platform for child in present], self._platform)
        if position is None:
            platforms = (
                ", ".join(sorted({str(child.platform) for child in children if child.platform})) or "none"
            )
            raise NotFound(
                f"index {entry.digest} holds no image for {self._platform} (it is for: {platforms}); "
                "say --platform to take another"
            )
        for number, child in enumerate(present):
            if number != position:
                self._keep(archive, reader, child)
        return self._descend(archive, reader, present[position], depth=depth + 1)

    def _keep(self, archive: Archive, reader: ArchiveReader, child: Descriptor) -> None:
        """Stores what the archive has of another platform's image; it is not unpacked."""
        file = self._blob(archive, child.digest)
        reader.store(file)
        if child.media_type in MANIFEST_TYPES:
            manifest = decode_manifest(self._document(file, str(child.digest)))
            for blob in (manifest.config, *manifest.layers):
                if self._has(archive, blob.digest):
                    reader.store(self._blob(archive, blob.digest))

    # -- files

    def _has(self, archive: Archive, digest: str) -> bool:
        return archive.find(_blob_name(digest)) is not None or self._content.contains(digest)

    def _blob(self, archive: Archive, digest: Digest) -> ArchiveFile:
        """A blob of the archive, or of the store: an archive may leave out what its reader has."""
        file = archive.find(_blob_name(digest))
        if file is not None:
            return file
        if self._content.contains(digest):
            return ArchiveFile(digest, self._content.info(digest).size, "")
        raise ArchiveError(f"the image archive is incomplete: blob {digest} is missing")

    def _need(self, archive: Archive, name: str) -> ArchiveFile:
        file = archive.find(name)
        if file is None:
            raise ArchiveError(f"the image archive is incomplete: {name!r} is missing")
        return file

    def _document(self, file: ArchiveFile, name: str) -> bytes:
        if file.size > MAX_MANIFEST_BYTES:
            raise ArchiveError(f"the image archive is refused: {name} has {file.size} bytes")
        return file.data if file.data is not None else self._content.read(file.digest)


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _annotated(entry: Descriptor) -> tuple[Reference, ...]:
    """The name that an index gives: containerd's annotation, or a ref.name that is more than a bare tag."""
    annotations = entry.annotations or {}
    full = annotations.get(CONTAINERD_NAME)
    name = annotations.get(REF_NAME, "")
    if full is None and (":" in name or "/" in name):
        full = name
    if full is None:
        return ()
    try:
        reference = Reference.parse(full)
    except InvalidArgument:
        return ()
    return (reference,) if reference.tag is not None else ()
