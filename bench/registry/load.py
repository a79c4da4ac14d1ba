"""What is sent to the registries: images for the small requests, blobs for the large ones."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from bench.engines import require
from bench.registry.peers import Peer

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = f"{OCI_MANIFEST}, application/vnd.oci.image.index.v1+json"
LARGE = 256 << 20
REPOSITORY = "bench/app"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def request(
    peer: Peer, method: str, target: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    parts = urllib.parse.urlsplit(target)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(peer.host, timeout=60)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body, sent)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def begin(peer: Peer, repository: str) -> str:
    status, headers, body = request(peer, "POST", f"/v2/{repository}/blobs/uploads/", b"")
    if status != 202:
        raise RuntimeError(f"{peer.name}: {status} {body[:200]!r}")
    return urllib.parse.urljoin(peer.url, headers["location"])


def push_blob(peer: Peer, repository: str, data: bytes) -> str:
    location, digest = begin(peer, repository), digest_of(data)
    joint = "&" if "?" in location else "?"
    octets = {"Content_Type": "application/octet-stream"}
    status, _headers, body = request(peer, "PUT", f"{location}{joint}digest={digest}", data, **octets)
    if status != 201:
        raise RuntimeError(f"{peer.name}: {status} {body[:200]!r}")
    return digest


@dataclass(frozen=True)
class Small:
    """What the small requests ask for."""

    manifest: str
    blob: str


def push_small(peer: Peer) -> Small:
    """A manifest of ten layers under 100 tags, and a blob of 4 KiB."""
    config, layer = b"{}", os.urandom(4096)
    descriptors = []
    for data in (config, layer):
        digest = push_blob(peer, REPOSITORY, data)
        descriptors.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(data)})
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptors[0],
        "layers": [descriptors[1]] * 10,
    }
    payload = json.dumps(document).encode()
    for number in range(100):
        path = f"/v2/{REPOSITORY}/manifests/v1.{number}"
        status, _headers, body = request(peer, "PUT", path, payload, Content_Type=OCI_MANIFEST)
        if status != 201:
            raise RuntimeError(f"{peer.name}: {status} {body[:200]!r}")
    return Small(digest_of(payload), digest_of(layer))


def wrk(peer: Peer, path: str, connections: int, seconds: int) -> tuple[float, float]:
    """Requests a second, and the server's CPU microseconds for each; every answer has to be a 200."""
    program = require("wrk", "wrk")
    before = peer.cpu()
    out = subprocess.run(
        [
            program,
            *("-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Accept: {ACCEPT}"),
            f"{peer.url}{path}",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    used = peer.cpu() - before
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(f"{peer.name}: {path}: {out}")
    count = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]
    return rate, used / count * 1e6


def make_blobs(directory: Path, count: int) -> list[Path]:
    """Files of 256 MiB that do not compress."""
    directory.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        path = directory / f"blob{number}"
        if not path.exists() or path.stat().st_size != LARGE:
            with open(path, "wb") as file:
                for _ in range(LARGE >> 20):
                    file.write(os.urandom(1 << 20))
        found.append(path)
    return found


def renew(path: Path) -> str:
    """Makes a file another one, by its first bytes; returns its digest."""
    with open(path, "r+b") as file:
        file.write(os.urandom(32))
        file.seek(0)
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
