"""Archives as the source or destination of a copy: Docker's (`manifest.json`) and OCI's."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import msgspec

from corten.errors import ArchiveError, InvalidArgument, NotFound
from corten.image.copy.endpoint import Read, Source, Tell
from corten.image.copy.files import TarFiles, document
from corten.image.copy.layout import LAYOUT, blob_name, named
from corten.image.registry.client import Fetched
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, parse_digest, sha256_of
from corten.oci.image_config import decode_config
from corten.oci.manifest import (
    CONTAINERD_NAME,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_INDEX,
    REF_NAME,
    Index,
    Manifest,
    decode_index,
    decode_manifest,
    encode,
)
from corten.oci.reference import Reference
from corten.snapshot.inflate import compression_of
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_writer import TarWriter

_LAYER_TYPES = {"plain": DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP, "zstd": DOCKER_LAYER_ZSTD}


class _Image(msgspec.Struct, rename="pascal"):
    config: str
    layers: list[str] = []
    repo_tags: list[str] | None = None


class DockerArchiveSource:
    """`name` is one of the archive's names, or `@N` for its N-th image. Where the archive is a layout as well
    (what docker 25, corten and buildkit write), the manifest in there is taken as it is."""

    domain = repository = ""

    def __init__(self, path: str, name: str) -> None:
        self._files = TarFiles(path)
        self._where = path
        self._name = name
        self.made = False
        self._blobs: dict[str, str] = {}

    async def top(self) -> Fetched:
        image = await self._pick()
        config = await document(self._files, image.config, self._where)
        self._blobs[sha256_of(config)] = image.config
        found = await self._in_layout(sha256_of(config))
        if found is not None:
            return found
        diff_ids = decode_config(config).diff_ids
        if len(diff_ids) != len(image.layers):
            raise ArchiveError(
                f"{self._where} is inconsistent: {image.config} names {len(diff_ids)} layers, manifest.json "
                f"{len(image.layers)}"
            )
        layers = [await self._layer(name, diff) for name, diff in zip(image.layers, diff_ids, strict=True)]
        manifest = Manifest(
            config=Descriptor(DOCKER_CONFIG, sha256_of(config), len(config)),
            layers=tuple(layers),
            schema_version=2,
            media_type=DOCKER_MANIFEST,
        )
        self.made = True
        data = encode(manifest)
        return Fetched(Descriptor(DOCKER_MANIFEST, sha256_of(data), len(data)), data)

    async def _pick(self) -> _Image:
        try:
            data = await document(self._files, "manifest.json", self._where)
            images = msgspec.json.decode(data, type=list[_Image])
        except msgspec.MsgspecError as error:
            raise ArchiveError(f"{self._where}: manifest.json is malformed: {error}") from error
        if self._name.startswith("@") and self._name[1:].isdecimal() and int(self._name[1:]) < len(images):
            return images[int(self._name[1:])]
        names = [tag for image in images for tag in image.repo_tags or ()]
        if self._name:
            wanted = Reference.parse(self._name)
            for image in images:
                if any(Reference.parse(tag) == wanted for tag in image.repo_tags or ()):
                    return image
            raise NotFound(
                f"{self._where} has no image {self._name!r} (it has: {', '.join(names) or 'none'})"
            )
        if len(images) != 1:
            raise InvalidArgument(
                f"{self._where} holds {len(images)} images: say which, by :NAME behind the path "
                f"(it has: {', '.join(names) or 'no name, but @0, @1, …'})"
            )
        return images[0]

    async def _in_layout(self, config: Digest) -> Fetched | None:
        if self._files.size("index.json") < 0 or self._files.size("oci-layout") < 0:
            return None
        for entry in decode_index(await document(self._files, "index.json", self._where)).manifests:
            if entry.media_type not in MANIFEST_TYPES or self._files.size(blob_name(entry.digest)) < 0:
                continue
            data = await document(self._files, blob_name(entry.digest), self._where)
            manifest = decode_manifest(data)
            whole = all(self._files.size(blob_name(layer.digest)) == layer.size for layer in manifest.layers)
            if manifest.config.digest == config and whole:
                return Fetched(Descriptor(entry.media_type, entry.digest, entry.size), data)
        return None

    async def _layer(self, name: str, diff_id: str) -> Descriptor:
        size = self._files.size(name)
        if size < 0:
            raise ArchiveError(f"{self._where} is incomplete: {name} is missing")
        head = b""
        async for piece in self._files.read(name):
            head = piece[:6]
            break
        kind = compression_of(head)
        digest = parse_digest(diff_id) if kind == "plain" else await self._digest(name)
        self._blobs[digest] = name
        return Descriptor(_LAYER_TYPES.get(kind, DOCKER_LAYER), digest, size)

    async def _digest(self, name: str) -> Digest:
        found = hashlib.sha256()
        async for piece in self._files.read(name):
            found.update(piece)
        return Digest(f"sha256:{found.hexdigest()}")

    async def manifest(self, descriptor: Descriptor) -> bytes:
        return await document(self._files, blob_name(descriptor.digest), self._where)

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        return self._files.read(self._blobs.get(descriptor.digest) or blob_name(descriptor.digest), offset)

    async def close(self) -> None:
        self._files.close()


class ArchiveDestination:
    """One tar, written front to back; it gets its name when it is complete. With `docker`, it is a layout
    that has Docker's manifest.json as well, as `corten save` writes it."""

    def __init__(self, path: str, name: str, *, docker: bool) -> None:
        if os.path.exists(path) and os.path.getsize(path):
            raise InvalidArgument(f"cannot write {path}: it exists, and an archive cannot be added to")
        self.oci_only = self.compresses = not docker
        self._docker = docker
        self._path = path
        self._name = name
        self._reference = Reference.parse(name) if docker and name else None
        self._partial = f"{path}.partial-{os.getpid()}"
        self._written: set[str] = set()
        self._lock = asyncio.Lock()
        self._top: tuple[Descriptor, bytes] | None = None
        try:
            self._file = open(self._partial, "xb")  # noqa: SIM115, PTH123
        except OSError as error:
            raise InvalidArgument(f"cannot write {path}: {error.strerror}") from error
        self._tar = TarWriter(self._file.write)
        for directory in (b"blobs/", b"blobs/sha256/"):
            self._tar.directory(directory)

    async def has(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self._written

    async def put_blob(self, descriptor: Descriptor, read: Read, source: Source, tell: Tell) -> str:
        async with self._lock:
            if descriptor.digest in self._written:
                return ""
            self._written.add(descriptor.digest)
            entry = Entry(blob_name(descriptor.digest).encode())
            entry.size = entry.real_size = descriptor.size
            self._tar.add(entry)
            done = 0
            async for piece in read(0):
                self._tar.data(piece)
                done += len(piece)
                tell(done)
            self._tar.pad(descriptor.size)
        return ""

    async def put_manifest(self, descriptor: Descriptor, data: bytes, *, top: bool) -> None:
        async with self._lock:
            if descriptor.digest not in self._written:
                self._written.add(descriptor.digest)
                self._tar.file(blob_name(descriptor.digest).encode(), data)
        if top:
            self._top = (descriptor, data)

    async def commit(self) -> None:
        if self._top is None:
            raise ArchiveError("nothing was copied")
        descriptor, data = self._top
        entry = named(descriptor, self._name)
        if self._docker:
            self._manifest_json(descriptor, data)
            reference = self._reference
            if reference is not None:
                names = {CONTAINERD_NAME: reference.canonical, REF_NAME: reference.tag or ""}
                entry = msgspec.structs.replace(descriptor, annotations=names)
        index = Index(manifests=(entry,), schema_version=2, media_type=OCI_INDEX)
        self._tar.file(b"index.json", msgspec.json.encode(index))
        self._tar.file(b"oci-layout", LAYOUT)
        self._tar.finish()
        self._file.close()
        os.replace(self._partial, self._path)

    def _manifest_json(self, descriptor: Descriptor, data: bytes) -> None:
        if descriptor.media_type not in MANIFEST_TYPES:
            raise InvalidArgument("a docker-archive holds one platform's image: leave out --all")
        manifest = decode_manifest(data)
        image = _Image(
            config=blob_name(manifest.config.digest),
            layers=[blob_name(layer.digest) for layer in manifest.layers],
            repo_tags=[self._reference.familiar] if self._reference is not None else None,
        )
        self._tar.file(b"manifest.json", msgspec.json.encode([image]))

    async def close(self) -> None:
        if not self._file.closed:
            self._file.close()
            os.unlink(self._partial)
