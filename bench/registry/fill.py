"""Content that is put where it belongs without being pushed: databases with long lists, an image layout."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def name_of(number: int) -> str:
    return f"name-{number:06}"


def database(path: Path, *, repositories: int = 1, tags: int = 0) -> None:
    """Metadata with so many repositories of one manifest each, or so many tags in the first one."""
    from sqlalchemy import Connection

    from corten.registry.metadata import schema
    from corten.registry.metadata.database import Database

    payload = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST}).encode()
    digest = f"sha256:{hashlib.sha256(payload).hexdigest()}"
    moment = int(time.time() * 1000)

    def fill(connection: Connection) -> None:
        connection.execute(schema.manifest_payloads.insert(), {"digest": digest, "payload": payload})
        numbers = range(repositories)
        connection.execute(
            schema.repositories.insert(),
            [{"id": n + 1, "name": name_of(n), "created": moment} for n in numbers],
        )
        row = {"media_type": MANIFEST, "artifact_type": "", "subject": "", "annotations": ""}
        connection.execute(
            schema.manifests.insert(),
            [
                {**row, "repository": n + 1, "digest": digest, "size": len(payload), "pushed": moment}
                for n in numbers
            ],
        )
        if tags:
            connection.execute(
                schema.tags.insert(),
                [
                    {"repository": 1, "name": name_of(n), "manifest": digest, "updated": moment}
                    for n in range(tags)
                ],
            )

    store = Database(f"sqlite:///{path}")
    store.migrate()
    store.write(fill)
    store.close()


def layout(path: Path, *, layers: int, size: int) -> Path:
    """An image layout with layers that do not compress; made once."""
    if (path / "index.json").exists():
        return path
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    descriptors = [
        put(os.urandom(size), "application/vnd.oci.image.layer.v1.tar+zstd") for _ in range(layers)
    ]
    diff_ids = [descriptor["digest"] for descriptor in descriptors]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": descriptors,
    }
    entry = put(json.dumps(document).encode(), MANIFEST)
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return path
