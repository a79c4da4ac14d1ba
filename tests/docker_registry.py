"""Docker's registry (distribution) as another program, and what it would have written, by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.registry_server import Client, Image, digest_of, free_port


class DockerRegistry:
    """A real one: Debian's docker-registry (2.8), or the program that is given; on files."""

    def __init__(self, directory: Path, program: str) -> None:
        self.root = directory / "old"
        self.port = free_port()
        config = directory / "old.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.root}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}'}}\n"
        )
        self._process = subprocess.Popen(
            [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client = Client(self.url)
                assert self.client.get("/v2/").status == 200
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.close()
                    raise RuntimeError("Docker's registry does not start") from None
                time.sleep(0.05)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def close(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()


def docker_registry(version: int) -> str:
    """The program."""
    if version == 2:
        found = shutil.which("docker-registry")
        why = "needs Docker's registry: apt-get install docker-registry"
    else:
        places = [os.environ.get("GOBIN", ""), os.path.expanduser("~/go/bin"), "/var/cache/corten-bench/bin"]
        found = shutil.which("registry", path=os.pathsep.join(filter(None, places)))
        why = "needs distribution v3: go install github.com/distribution/distribution/v3/cmd/registry@latest"
    if found is None:
        pytest.skip(why)
    return found


class Directory:
    """The storage directory of Docker's registry, made by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._v2 = root / "docker/registry/v2"
        (self._v2 / "repositories").mkdir(parents=True, exist_ok=True)

    def data(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self._v2 / "blobs" / algorithm / name[:2] / name / "data"

    def blob(self, data: bytes, algorithm: str = "sha256") -> str:
        path = self.data(digest_of(data, algorithm))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest_of(data, algorithm)

    def _link(self, repository: str, place: str, text: str) -> None:
        path = self._v2 / "repositories" / repository / place / "link"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def manifest(self, repository: str, payload: bytes, *tags: str) -> str:
        digest = self.blob(payload)
        self._link(repository, f"_manifests/revisions/{digest.replace(':', '/')}", digest)
        for tag in tags:
            self.tag(repository, tag, digest)
        return digest

    def tag(self, repository: str, tag: str, text: str) -> None:
        self._link(repository, f"_manifests/tags/{tag}/current", text)

    def layer(self, repository: str, digest: str, target: str = "") -> None:
        self._link(repository, f"_layers/{digest.replace(':', '/')}", target or digest)

    def image(self, repository: str, image: Image, *tags: str) -> str:
        for blob in image.blobs:
            self.layer(repository, self.blob(blob))
        return self.manifest(repository, image.payload, *tags)
