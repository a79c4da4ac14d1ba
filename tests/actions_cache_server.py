"""GitHub's cache service for Actions, in both versions, in memory: as actions/toolkit (packages/cache) speaks
to it. Keys find entries that begin with them; entries are written once; bytes lie behind signed URLs."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAIN, BRANCH = "refs/heads/main", "refs/heads/feature"
API_TOKEN = "ghs_for-the-api"


def make_token(*scopes: tuple[str, int], lasts: float = 3600) -> str:
    """A workflow's token; its signature is nobody's."""
    access = json.dumps([{"Scope": name, "Permission": bits} for name, bits in scopes])
    claims = {"ac": access, "exp": time.time() + lasts, "nbf": time.time() - 60}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, secrets.token_hex(16)])


@dataclass
class _Entry:
    number: int
    key: str
    version: str
    scope: str
    data: bytearray = field(default_factory=bytearray)
    blocks: dict[str, bytes] = field(default_factory=dict)
    done: bool = False


class ActionsServer:
    """`log` has (method, path without its query); `failures` are statuses that the next requests get."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.log: list[tuple[str, str]] = []
        self.failures: list[int] = []
        self.full = False  # version 2 takes nothing
        self.wrong: list[str] = []  # what no client may do
        self.tokens: dict[str, list[tuple[str, int]]] = {}
        self.lock = threading.Lock()
        outer = self

        class Handler(_Handler):
            server_of = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def token(self, *scopes: tuple[str, int], lasts: float = 3600) -> str:
        """One that the service knows."""
        token = make_token(*scopes, lasts=lasts)
        self.tokens[token] = list(scopes)
        return token

    def count(self, method: str, part: str) -> int:
        return sum(line[0] == method and part in line[1] for line in self.log)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_of: ActionsServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def _handle(self) -> None:
        server, parts = self.server_of, urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if "Transfer-Encoding" in self.headers:
            server.wrong.append(f"{self.path}: the length is not told")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with server.lock:
            server.log.append((self.command, parts.path))
            if server.failures:
                self._answer(server.failures.pop(0), {"message": "too busy"})
                return
            signed = re.fullmatch(r"/signed/(\d+)", parts.path)
            if signed is not None:
                self._signed(server.entries[int(signed[1])], query, body)
                return
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if parts.path.startswith("/repos/"):
                self._api(token, query)
            elif token not in server.tokens:
                self._answer(
                    401, {"message": "Unauthorized", "msg": "Unauthorized", "code": "unauthenticated"}
                )
            elif parts.path.startswith("/_apis/artifactcache/"):
                self._first(parts.path.removeprefix("/_apis/artifactcache/"), token, query, body)
            else:
                prefix = "/twirp/github.actions.results.api.v1.CacheService/"
                self._second(parts.path.removeprefix(prefix), token, json.loads(body))

    do_GET = do_POST = do_PATCH = do_PUT = _handle

    # -- what both do

    def _find(self, token: str, key: str, version: str) -> _Entry | None:
        scopes = [name for name, bits in self.server_of.tokens[token] if bits & 1]
        for scope in scopes:
            for entry in reversed(self.server_of.entries):
                if (
                    entry.done
                    and entry.scope == scope
                    and entry.version == version
                    and entry.key.startswith(key)
                ):
                    return entry
        return None

    def _reserve(self, token: str, key: str, version: str) -> _Entry | None:
        writable = [name for name, bits in self.server_of.tokens[token] if bits & 2]
        if any(
            e.key == key and e.version == version and e.scope == writable[-1] for e in self.server_of.entries
        ):
            return None
        entry = _Entry(len(self.server_of.entries), key, version, writable[-1])
        self.server_of.entries.append(entry)
        return entry

    def _url(self, entry: _Entry) -> str:
        return f"{self.server_of.url}/signed/{entry.number}?sig=for%2Fthis%3D"

    def _signed(self, entry: _Entry, query: dict[str, str], body: bytes) -> None:
        if self.headers.get("Authorization"):
            self.server_of.wrong.append(f"{self.path}: a signed URL got a token")
        if query.get("sig") != "for/this=":
            self._answer(403, None)
        elif self.command == "PUT" and query.get("comp") == "block":
            entry.blocks[query["blockid"]] = body
            self._answer(201, None)
        elif self.command == "PUT":
            for name in re.findall(r"<Latest>([^<]+)</Latest>", body.decode()):
                entry.data += entry.blocks[name]
            self._answer(201, None)
        else:
            self._bytes(entry)

    def _bytes(self, entry: _Entry) -> None:
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        data = bytes(entry.data)
        if start is not None:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start[1]}-{len(data) - 1}/{len(data)}")
            data = data[int(start[1]) :]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    # -- version 1

    def _first(self, path: str, token: str, query: dict[str, str], body: bytes) -> None:
        if self.headers.get("Accept") != "application/json;api-version=6.0-preview.1":
            self.server_of.wrong.append(f"{self.path}: no version of the API")
        if path == "cache":
            found = self._find(token, query["keys"], query["version"])
            if found is None:
                self._answer(204, None)
            else:
                answer = {"cacheKey": found.key, "scope": found.scope, "archiveLocation": self._url(found)}
                self._answer(200, answer)
        elif path == "caches":
            asked = json.loads(body)
            entry = self._reserve(token, asked["key"], asked["version"])
            if entry is None:
                kind = "ArtifactCacheItemAlreadyExistsException"
                self._answer(409, {"message": "Cache already exists.", "typeKey": kind})
            else:
                self._answer(201, {"cacheId": entry.number + 1})
        else:
            entry = self.server_of.entries[int(path.removeprefix("caches/")) - 1]
            if self.command == "PATCH":
                told = re.fullmatch(r"bytes (\d+)-(\d+)/\*", self.headers["Content-Range"])
                assert told is not None and int(told[2]) - int(told[1]) + 1 == len(body)
                entry.data[int(told[1]) :] = body
            else:
                assert json.loads(body)["size"] == len(entry.data)
                entry.done = True
            self._answer(204, None)

    # -- version 2

    def _second(self, method: str, token: str, asked: dict[str, Any]) -> None:
        if method == "GetCacheEntryDownloadURL":
            found = self._find(token, asked["key"], asked["version"])
            url, key = ("", "") if found is None else (self._url(found), found.key)
            self._answer(200, {"ok": found is not None, "signed_download_url": url, "matched_key": key})
        elif method == "CreateCacheEntry":
            entry = None if self.server_of.full else self._reserve(token, asked["key"], asked["version"])
            if self.server_of.full:
                self._answer(200, {"ok": False, "message": "no room\x1b[31m left."})
            elif entry is None:
                self._answer(409, {"code": "already_exists", "msg": "cache entry is there"})
            else:
                self._answer(200, {"ok": True, "signed_upload_url": self._url(entry)})
        else:
            (entry,) = (e for e in self.server_of.entries if e.key == asked["key"])
            assert int(asked["size_bytes"]) == len(entry.data)
            entry.done = True
            self._answer(200, {"ok": True, "entry_id": str(entry.number)})

    # -- GitHub's API

    def _api(self, token: str, query: dict[str, str]) -> None:
        if token != API_TOKEN:
            self._answer(401, {"message": "Bad credentials"})
            return
        listed = [
            {"key": entry.key, "version": entry.version, "ref": entry.scope}
            for entry in self.server_of.entries
            if entry.done and entry.key.startswith(query["key"]) and entry.scope == query["ref"]
        ]
        page, size = int(query["page"]), int(query["per_page"])
        self._answer(
            200, {"total_count": len(listed), "actions_caches": listed[(page - 1) * size : page * size]}
        )


def actions_server() -> Iterator[ActionsServer]:
    server = ActionsServer()
    yield server
    server.close()
    assert not server.wrong, server.wrong
