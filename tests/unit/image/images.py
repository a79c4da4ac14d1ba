"""Image stores and image archives for tests."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corten.content import ContentStore
from corten.image.model import ContainerUse
from corten.image.store import ImageStore
from corten.oci.platform import Platform
from corten.snapshot.overlay import OverlaySnapshotter
from tests.unit.snapshot.archives import member, tar_of

AMD64 = Platform("amd64", "linux")


class FakeUsers:
    """Containers by image ID."""

    def __init__(self) -> None:
        self.containers: dict[str, list[ContainerUse]] = {}

    def of_image(self, image_id: str) -> Sequence[ContainerUse]:
        return self.containers.get(image_id, ())


def make_store(root: Path, users: FakeUsers | None = None) -> ImageStore:
    root.mkdir(exist_ok=True)
    connection = sqlite3.connect(root / "engine.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    store = ImageStore(
        connection,
        ContentStore(root / "content"),
        OverlaySnapshotter(root / "snapshots"),
        users=users,
        platform=AMD64,
    )
    connection.close()
    return store


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config_of(layers: Sequence[bytes], **run: Any) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-02T03:04:05Z",
        "config": run or {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        "history": [
            {"created": "2024-01-02T03:04:05Z", "created_by": f"step {n}"} for n in range(len(layers))
        ],
    }
    return json.dumps(document).encode()


def layer_of(*names: str) -> bytes:
    return tar_of([member(name, name.encode()) for name in names])


def archive_of(files: Mapping[str, bytes], links: Mapping[str, str] = {}) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def docker_archive(layers: Sequence[bytes], tags: Sequence[str] = ("app:1",), **run: Any) -> bytes:
    """What `docker save` wrote before version 25."""
    config = config_of(layers, **run)
    files: dict[str, bytes] = {}
    names = []
    for number, layer in enumerate(layers):
        name = f"{number:064x}/layer.tar"
        files[name] = layer
        files[f"{number:064x}/VERSION"] = b"1.0"
        names.append(name)
    config_name = sha256(config)[7:] + ".json"
    files[config_name] = config
    files["manifest.json"] = json.dumps(
        [{"Config": config_name, "RepoTags": list(tags) or None, "Layers": names}]
    ).encode()
    return archive_of(files)


class Layout:
    """An OCI layout in the making."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.entries: list[dict[str, Any]] = []

    def put(self, data: bytes, media_type: str) -> dict[str, Any]:
        self.files["blobs/" + sha256(data).replace(":", "/")] = data
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}

    def image(
        self, layers: Sequence[bytes], *, config: bytes | None = None, kind: str = "tar"
    ) -> dict[str, Any]:
        base = "application/vnd.oci.image"
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{base}.manifest.v1+json",
            "config": self.put(config or config_of(layers), f"{base}.config.v1+json"),
            "layers": [self.put(layer, f"{base}.layer.v1.{kind}") for layer in layers],
        }
        return self.put(json.dumps(manifest).encode(), f"{base}.manifest.v1+json")

    def index(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        kind = "application/vnd.oci.image.index.v1+json"
        return self.put(
            json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": list(entries)}).encode(), kind
        )

    def name(self, entry: dict[str, Any], ref_name: str) -> None:
        self.entries.append(entry | {"annotations": {"org.opencontainers.image.ref.name": ref_name}})

    def archive(self, **more: bytes) -> bytes:
        index = json.dumps({"schemaVersion": 2, "manifests": self.entries}).encode()
        return archive_of({**self.files, "index.json": index, **more})


def load(store: ImageStore, data: bytes) -> list[str]:
    """IDs of what was loaded."""
    return [loaded.id for loaded in store.load(io.BytesIO(data))]


def everything(store: ImageStore) -> tuple[list[str], list[str], list[str]]:
    """What is on disk: blobs, layers and leftovers."""
    blobs = sorted(blob.digest for blob in store.content.walk())
    root = store.content.root
    leftovers = [path.name for path in (root / "ingest").iterdir()]
    leftovers += [path.name for path in (root.parent / "snapshots/.staging").iterdir()]
    return blobs, sorted(store.snapshotter.walk()), leftovers
