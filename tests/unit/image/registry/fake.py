"""A registry that lies, breaks off, asks for passwords: aiohttp on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from corten.image.registry.client import Registries
from corten.image.registry.config import RegistryConfig
from corten.image.registry.credentials import Credentials
from corten.image.registry.retry import RetryPolicy, Timeouts
from corten.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from tests.unit.image.images import sha256

Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
QUICK = RetryPolicy(attempts=4, base=0.01, cap=0.05, longest=2.0, progress=1 << 16)


class FakeRegistry:
    """`blobs` and `manifests` are what it stores; `hook` sees every request first; `log` has (method, path,
    Authorization)."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.hook: Hook | None = None
        self.log: list[tuple[str, str, str]] = []
        self.ranges: list[str] = []
        self.auth: dict[str, str] = {}
        self.tokens_issued = 0
        self.bearer = False
        self.uploads: dict[str, bytearray] = {}
        self.mountable: set[tuple[str, str]] = set()
        self.host = ""
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext | None = None) -> FakeRegistry:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        (address,) = self._runner.addresses
        self.host = f"127.0.0.1:{address[1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> FakeRegistry:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # -- contents

    def add_blob(self, data: bytes) -> str:
        digest = sha256(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, document: dict[str, Any], tag: str = "", kind: str = OCI_MANIFEST) -> str:
        data = json.dumps(document).encode()
        digest = sha256(data)
        self.manifests[digest] = (kind, data)
        if tag:
            self.manifests[tag] = (kind, data)
        return digest

    def add_image(self, layers: list[bytes], tag: str = "latest", **changes: Any) -> dict[str, Any]:
        """An image of plain layer tars, sent as gzip; returns its manifest."""
        config = json.dumps(
            {
                "architecture": changes.pop("architecture", "amd64"),
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
            }
        ).encode()
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": self.add_blob(config), "size": len(config)},
            "layers": [],
            **changes,
        }
        for layer in layers:
            blob = gzip.compress(layer, 1, mtime=0)
            document["layers"].append(
                {"mediaType": OCI_LAYER_GZIP, "digest": self.add_blob(blob), "size": len(blob)}
            )
        self.add_manifest(document, tag)
        return document

    def add_index(self, entries: list[dict[str, Any]], tag: str) -> str:
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return self.add_manifest(document, tag, OCI_INDEX)

    # -- requests

    def count(self, method: str, part: str) -> int:
        """How many requests had this method and this in their path."""
        return sum(1 for verb, path, _ in self.log if verb == method and part in path)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.log.append((request.method, request.path_qs, request.headers.get("Authorization", "")))
        if request.headers.get("Range"):
            self.ranges.append(request.headers["Range"])
        if self.hook is not None and (answer := await self.hook(request)) is not None:
            return answer
        if request.path == "/token":
            return await self._token(request)
        if (refusal := self._unauthorized(request)) is not None:
            return refusal
        parts = request.path.split("/")
        if request.path == "/v2/":
            return web.json_response({})
        if "manifests" in parts:
            return await self._manifest(request, parts[-1])
        if "uploads" in parts:
            return await self._upload(request, parts)
        if "blobs" in parts:
            return self.blob(request, parts[-1])
        if parts[-2:] == ["tags", "list"]:
            return web.json_response({"name": "x", "tags": [t for t in self.manifests if ":" not in t]})
        return refused(404, "UNSUPPORTED")

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        if not self.auth and not self.bearer:
            return None
        sent = request.headers.get("Authorization", "")
        if self.bearer:
            if sent.startswith("Bearer token-"):
                return None
            repository = "/".join(request.path.split("/")[2:-2])
            challenge = (
                f'Bearer realm="http://{self.host}/token",service="fake",scope="repository:{repository}:pull"'
            )
        else:
            if sent in {basic(name, password) for name, password in self.auth.items()}:
                return None
            challenge = 'Basic realm="fake, \\"quoted\\""'
        return refused(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})

    async def _token(self, request: web.Request) -> web.Response:
        self.tokens_issued += 1
        if request.method == "POST":
            form = parse_qs(await request.text())
            if form.get("refresh_token") != ["identity"]:
                return refused(401, "UNAUTHORIZED", "wrong identity token")
        elif self.auth:
            sent = request.headers.get("Authorization", "")
            if sent not in {basic(name, password) for name, password in self.auth.items()}:
                return refused(401, "UNAUTHORIZED", "incorrect username or password")
        answer = {"token": f"token-{self.tokens_issued}", "expires_in": 300}
        if request.query.get("offline_token"):
            answer["refresh_token"] = "identity"
        return web.json_response(answer)

    async def _manifest(self, request: web.Request, reference: str) -> web.StreamResponse:
        if request.method == "PUT":
            data = await request.read()
            kind = request.headers["Content-Type"]
            self.manifests[reference] = self.manifests[sha256(data)] = (kind, data)
            return web.Response(status=201, headers={"Docker-Content-Digest": sha256(data)})
        if reference not in self.manifests:
            return refused(404, "MANIFEST_UNKNOWN", "manifest unknown")
        kind, data = self.manifests[reference]
        headers = {"Content-Type": kind, "Docker-Content-Digest": sha256(data)}
        return web.Response(body=data, headers=headers)

    def blob(self, request: web.Request, digest: str) -> web.StreamResponse:
        """A stored blob, or the range of it that was asked for."""
        if digest not in self.blobs:
            return refused(404, "BLOB_UNKNOWN", "blob unknown")
        data = self.blobs[digest]
        asked = request.http_range
        if asked.start:
            headers = {"Content-Range": f"bytes {asked.start}-{len(data) - 1}/{len(data)}"}
            return web.Response(status=206, body=data[asked.start :], headers=headers)
        return web.Response(body=data, headers={"Content-Type": "application/octet-stream"})

    async def _upload(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        if request.method == "POST":
            digest, source = request.query.get("mount", ""), request.query.get("from", "")
            if (digest, source) in self.mountable:
                return web.Response(status=201, headers={"Location": f"/v2/x/blobs/{digest}"})
            name = f"u{len(self.uploads)}"
            self.uploads[name] = bytearray()
            return web.Response(status=202, headers={"Location": f"{request.path}{name}?state=a%2Fb"})
        name = parts[-1]
        known = self.uploads[name]
        headers = {"Location": f"{request.path}?state=b", "Range": f"0-{max(0, len(known) - 1)}"}
        if request.method == "GET":
            return web.Response(status=204, headers=headers)
        if request.method == "DELETE":
            return web.Response(status=204)
        known += await request.read()
        headers["Range"] = f"0-{max(0, len(known) - 1)}"
        if request.method == "PATCH":
            return web.Response(status=202, headers=headers)
        digest = request.query["digest"]
        if sha256(bytes(known)) != digest:
            return refused(400, "DIGEST_INVALID", "provided digest did not match")
        self.blobs[digest] = bytes(known)
        return web.Response(status=201)


def registries(tmp_path: Path, **changes: Any) -> Registries:
    """A client that knows no credentials but those of tmp_path/config.json, and does not wait for long."""
    changes.setdefault("config", RegistryConfig())
    changes.setdefault("credentials", Credentials(tmp_path / "config.json"))
    changes.setdefault("retry", QUICK)
    changes.setdefault("timeouts", Timeouts(connect=2, stall=0.5))
    return Registries(**changes)


def basic(name: str, password: str) -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def refused(status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> web.Response:
    """An error as registries say it."""
    body = {"errors": [{"code": code, "message": message, "detail": None}]}
    return web.json_response(body, status=status, headers=headers)


async def broken_off(request: web.Request, data: bytes, length: int) -> web.StreamResponse:
    """Announces `length` bytes, sends `data`, and closes the connection."""
    response = web.StreamResponse(headers={"Content-Length": str(length)})
    await response.prepare(request)
    await response.write(data)
    await asyncio.sleep(0.02)
    if request.transport is not None:
        request.transport.close()
    return response


def certificate(directory: Path, name: str = "127.0.0.1", *, days: int = 2) -> tuple[Path, Path]:
    """A self-signed certificate for an address, and its key."""
    directory.mkdir(parents=True, exist_ok=True)
    cert, key = directory / "server.crt", directory / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", str(key), "-out", str(cert), "-days", str(days), "-subj", f"/CN={name}"]
        + ["-addext", f"subjectAltName=IP:{name}"],
        check=True,
        capture_output=True,
    )
    return cert, key


def noise(size: int, seed: bytes = b"") -> bytes:
    """Bytes that do not deflate."""
    return hashlib.shake_128(seed).digest(size)
