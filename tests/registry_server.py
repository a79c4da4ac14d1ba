"""Registries for tests: a server in processes of its own, a client that sends exactly what it is told,
and images.

CORTEN_TEST_REGISTRY=http://host:port points the conformance suite at another registry, so that the suite
itself can be tested.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class ServerProcess:
    """`corten registry serve`, to be killed. Settings are those of the configuration."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.port = free_port()
        self.settings: dict[str, Any] = {
            "root": str(directory / "registry"),
            "listen": [f"127.0.0.1:{self.port}"],
            "workers": 1,
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        self.log = directory / f"registry-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []

    def client(self, timeout: float = 60) -> Client:
        """A connection that is closed with the server."""
        client = Client(self.url, timeout)
        self._clients.append(client)
        return client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self, verb: str, **extra: Any) -> list[str]:
        request = {"file": "", "set": self.settings, **{k.replace("_", "-"): v for k, v in extra.items()}}
        return [sys.executable, "-m", "corten.registry", verb, json.dumps(request)]

    def start(self) -> ServerProcess:
        reader, writer = os.pipe()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command("serve"),
                env={**os.environ, "CORTEN_READY_FD": str(writer)},
                pass_fds=(writer,),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(writer)
        with open(reader, "rb") as ready:
            if ready.read(1) != b"1":
                self.kill()
                raise RuntimeError(f"the registry did not start:\n{self.log.read_text()}")
        return self

    def kill(self) -> None:
        """SIGKILL to all of its processes at once, as a machine's power switch would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None
        self._wait_until_free()

    def _wait_until_free(self) -> None:
        """Workers that were killed may live for a moment longer than their parent."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", self.port))
                    return
                except OSError:
                    time.sleep(0.01)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self.process = None
        return code

    def run(self, verb: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        """`gc` or `check` beside the server."""
        return subprocess.run(
            self.command(verb, **extra), capture_output=True, text=True, check=False, timeout=120
        )

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self.process is not None:
            self.kill()


@dataclass(frozen=True)
class Answer:
    """What a registry has answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The codes of the errors in the body."""
        return [error["code"] for error in self.json()["errors"]]

    def header(self, name: str) -> str:
        return str(self.headers.get(name, ""))


class Client:
    """One connection that is kept; redirects are not followed."""

    def __init__(self, url: str, timeout: float = 60) -> None:
        parts = urllib.parse.urlsplit(url)
        self.url = url
        self.host = parts.netloc
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """`target` may be a path or a whole URL of this registry. A body that is no bytes is sent in
        chunks."""
        if target.startswith("http"):
            parts = urllib.parse.urlsplit(target)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = {"Accept": ACCEPT, **(headers or {})}
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            sent["Transfer-Encoding"] = "chunked"
        for attempt in (0, 1):
            try:
                self._connection.request(method, target, body, sent, encode_chunked=chunked)
                answer = self._connection.getresponse()
                return Answer(answer.status, answer.headers, answer.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self._connection.close()
                if attempt or chunked:
                    raise
        raise AssertionError("unreachable")

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, headers=_named(headers))

    def head(self, target: str, **headers: str) -> Answer:
        return self.request("HEAD", target, headers=_named(headers))

    def delete(self, target: str) -> Answer:
        return self.request("DELETE", target)

    def begin(self, repository: str) -> str:
        """A new upload's location."""
        answer = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert answer.status == 202, answer.body
        return answer.header("Location")

    def push_blob(self, repository: str, data: bytes, algorithm: str = "sha256") -> str:
        digest = digest_of(data, algorithm)
        answer = self.finish(self.begin(repository), digest, data)
        assert answer.status == 201, answer.body
        return digest

    def finish(self, location: str, digest: str, data: bytes = b"", **headers: str) -> Answer:
        joint = "&" if "?" in location else "?"
        return self.request(
            "PUT",
            f"{location}{joint}digest={urllib.parse.quote(digest)}",
            data,
            {"Content-Type": "application/octet-stream", **_named(headers)},
        )

    def push_manifest(
        self, repository: str, reference: str, payload: bytes, media_type: str = OCI_MANIFEST
    ) -> Answer:
        return self.request(
            "PUT", f"/v2/{repository}/manifests/{reference}", payload, {"Content-Type": media_type}
        )

    def push_image(self, repository: str, tag: str, image: Image) -> str:
        """Blobs, then the manifest; its digest."""
        for blob in image.blobs:
            self.push_blob(repository, blob)
        answer = self.push_manifest(repository, tag, image.payload)
        assert answer.status == 201, answer.body
        return image.digest

    def close(self) -> None:
        self._connection.close()


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


@dataclass(frozen=True)
class Image:
    """A config, layers and the manifest over them."""

    config: bytes
    layers: tuple[bytes, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return (self.config, *self.layers)

    @property
    def document(self) -> dict[str, Any]:
        return {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(self.config, OCI_CONFIG),
            "layers": [descriptor(layer, OCI_LAYER) for layer in self.layers],
            **self.extra,
        }

    @property
    def payload(self) -> bytes:
        return json.dumps(self.document).encode()

    @property
    def digest(self) -> str:
        return digest_of(self.payload)

    @property
    def descriptor(self) -> dict[str, Any]:
        return descriptor(self.payload, OCI_MANIFEST)


def make_image(seed: str = "", layers: int = 1, size: int = 100, **extra: Any) -> Image:
    """An image of its own for each seed; without one, of nobody else."""
    seed = seed or secrets.token_hex(8)
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers"}, "seed": seed}
    ).encode()
    contents = tuple(
        (hashlib.sha256(f"{seed}/{number}".encode()).digest() * (size // 32 + 1))[:size]
        for number in range(layers)
    )
    return Image(config, contents, extra)


def index_of(*images: Image, **extra: Any) -> bytes:
    """An index that lists `images`."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {**image.descriptor, "platform": {"os": "linux", "architecture": f"arch{number}"}}
                for number, image in enumerate(images)
            ],
            **extra,
        }
    ).encode()
