"""Real clients as commands, and an image for them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.registry_server import OCI_MANIFEST, digest_of, make_image
from tests.system.conftest import busybox_layer


def needs(program: str) -> str:
    """The program's path; skips the test where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


class Command:
    """A client's command line, with more in its environment."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.command = command
        self.environment = {**os.environ, **environment}

    def __call__(
        self, *words: str, input: bytes | None = None, code: int = 0, cwd: Path | None = None
    ) -> str:
        """Runs it; what it wrote. `code` is the exit status that is expected."""
        done = subprocess.run(
            [*self.command, *words],
            env=self.environment,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
            cwd=cwd,
        )
        out = done.stdout.decode()
        assert done.returncode == code, f"{' '.join(map(str, done.args))}: {done.returncode}\n{out}"
        return out


def layout_of_busybox(path: Path) -> Path:
    """An image layout with busybox, made by hand."""
    layer = busybox_layer()
    config = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64"),
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
            "history": [{"created_by": "by hand"}],
        }
    ).encode()
    document = make_image().document
    document["config"] |= {"digest": digest_of(config), "size": len(config)}
    document["layers"][0] |= {"digest": digest_of(layer), "size": len(layer)}
    manifest = json.dumps(document).encode()
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)
    for blob in (layer, config, manifest):
        (blobs / hashlib.sha256(blob).hexdigest()).write_bytes(blob)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {
        "mediaType": OCI_MANIFEST,
        "digest": digest_of(manifest),
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "latest"},
    }
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return path
