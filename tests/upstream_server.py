"""A registry to stand behind a cache, in a thread of the test: it has what the test gives it, and fails as
the test wants."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.registry_server import OCI_INDEX, OCI_MANIFEST, Image, digest_of

PIECE = 64 << 10


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    authorization: str = ""
    range: str = ""
    if_none_match: str = ""
    via: str = ""


@dataclass
class Fault:
    """What happens to the requests whose path has `part` in it. `times` counts down; -1: always."""

    part: str
    times: int = -1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int = -1
    """The connection breaks after so many bytes of a body."""
    wait: threading.Event | None = None
    """Nothing more is sent after `cut_after` bytes (or at all), until this is set."""
    method: str = ""


class Upstream:
    """`repositories` has manifests by tag and digest, `blobs` the blobs of all of them."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        # By repository and subject. Of those that are not in it, the referrers API says 404.
        self.referrers: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.referrers_in_page = 1000
        self.basic = ""
        self.bearer = ""
        self.redirect_blobs_to = ""
        self.connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listens, at the same port as before."""
        upstream = self

        class Handler(_Handler):
            registry = upstream

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def process_request(self, request: object, client_address: object) -> None:
                upstream.connections.add(request)  # type: ignore[arg-type]
                super().process_request(request, client_address)  # type: ignore[arg-type]

            def shutdown_request(self, request: object) -> None:
                upstream.connections.discard(request)  # type: ignore[arg-type]
                super().shutdown_request(request)  # type: ignore[arg-type]

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, repository: str, tag: str, image: Image) -> Image:
        for blob in image.blobs:
            self.blobs[digest_of(blob)] = blob
        self.add_manifest(repository, tag, image.payload, OCI_MANIFEST)
        return image

    def add_manifest(self, repository: str, tag: str, payload: bytes, media_type: str = OCI_INDEX) -> str:
        digest = digest_of(payload)
        for reference in (tag, digest):
            if reference:
                self.manifests[repository, reference] = (media_type, payload)
        return digest

    def fail(self, part: str, **how: object) -> Fault:
        fault = Fault(part, **how)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    def count(self, part: str, method: str = "") -> int:
        return len([a for a in self.asked if part in a.path and method in ("", a.method)])

    def note(self, asked: Asked) -> None:
        with self._lock:
            self.asked.append(asked)

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.part in path and fault.method in ("", method) and fault.times:
                    fault.times -= 1 if fault.times > 0 else 0
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Upstream

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def _answer(self) -> None:
        registry, headers = self.registry, self.headers
        registry.note(
            Asked(
                self.command,
                self.path,
                headers.get("Authorization", ""),
                headers.get("Range", ""),
                headers.get("If-None-Match", ""),
                headers.get("Via", ""),
            )
        )
        fault = registry.fault_for(self.command, self.path)
        if fault is not None and fault.wait is not None and fault.cut_after < 0:
            fault.wait.wait(60)
        if fault is not None and fault.status:
            self._send(fault.status, fault.headers, fault.body or b"", fault)
            return
        if self.path.startswith("/token"):
            self._token()
            return
        if not self._is_let_in():
            return
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        head, kind, reference = path.removeprefix("/v2/").rpartition("/")[0], "", path.rpartition("/")[2]
        repository, _, kind = head.rpartition("/")
        if kind == "manifests":
            self._manifest(repository, reference, fault)
        elif kind == "blobs":
            self._blob(reference, fault)
        elif kind == "referrers" and (repository, reference) in registry.referrers:
            self._referrers(repository, reference, fault)
        elif (kind, reference) == ("tags", "list"):
            names = sorted(
                name for place, name in registry.manifests if place == repository and ":" not in name
            )
            self._send(200, {}, json.dumps({"name": repository, "tags": names}).encode(), fault)
        else:
            self._send(404, {}, b"{}", fault)

    def _manifest(self, repository: str, reference: str, fault: Fault | None) -> None:
        found = self.registry.manifests.get((repository, reference))
        if found is None:
            self._send(404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}', fault)
            return
        media_type, payload = found
        etag = f'"{digest_of(payload)}"'
        headers = {"Content-Type": media_type, "Docker-Content-Digest": etag.strip('"'), "ETag": etag}
        if self.headers.get("If-None-Match") == etag:
            self._send(304, headers, b"", fault)
        else:
            self._send(200, headers, payload, fault)

    def _referrers(self, repository: str, subject: str, fault: Fault | None) -> None:
        found = self.registry.referrers[repository, subject]
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        begin, most = int(query.get("after", ["0"])[0]), self.registry.referrers_in_page
        headers = {"Content-Type": OCI_INDEX}
        if begin + most < len(found):
            headers["Link"] = f'</v2/{repository}/referrers/{subject}?after={begin + most}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found[begin : begin + most]}
        self._send(200, headers, json.dumps(index).encode(), fault)

    def _blob(self, digest: str, fault: Fault | None) -> None:
        elsewhere = self.registry.redirect_blobs_to
        if elsewhere:
            self._send(307, {"Location": elsewhere + self.path}, b"", fault)
            return
        data = self.registry.blobs.get(digest)
        if data is None:
            self._send(404, {}, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"unknown"}]}', fault)
            return
        wanted = self.headers.get("Range", "")
        if wanted:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            self._send(206, headers, data[start:], fault)
        else:
            self._send(200, {"Content-Type": "application/octet-stream"}, data, fault)

    def _token(self) -> None:
        registry = self.registry
        if registry.basic and self.headers.get("Authorization") != basic(registry.basic):
            self._send(401, {}, b'{"details":"incorrect username or password"}', None)
            return
        self._send(200, {}, json.dumps({"token": registry.bearer, "expires_in": 300}).encode(), None)

    def _is_let_in(self) -> bool:
        registry = self.registry
        sent = self.headers.get("Authorization", "")
        if registry.bearer:
            if sent == f"Bearer {registry.bearer}":
                return True
            challenge = f'Bearer realm="{registry.url}/token",service="upstream"'
        elif registry.basic:
            if sent == basic(registry.basic):
                return True
            challenge = 'Basic realm="upstream"'
        else:
            return True
        body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        self._send(401, {"WWW-Authenticate": challenge}, body, None)
        return False

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None) -> None:
        told = len(body)
        if fault is not None and fault.body is not None and not fault.status:
            body = fault.body
            told = len(body)
        self.send_response(status)
        for name, value in {**headers, **self.registry.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(told))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut_after >= 0:
            self.wfile.write(body[: fault.cut_after])
            self.wfile.flush()
            if fault.wait is None:
                self.close_connection = True
                return
            fault.wait.wait(60)
            body = body[fault.cut_after :]
        for begin in range(0, len(body), PIECE):
            self.wfile.write(body[begin : begin + PIECE])


def basic(pair: str) -> str:
    """The header of `user:password`."""
    return "Basic " + base64.b64encode(pair.encode()).decode()


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Fails when `condition` does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
