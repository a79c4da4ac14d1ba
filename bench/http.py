"""The smallest HTTP client that can time an engine: one kept-alive unix socket, no library in the way.

docker and corten are measured through this same client, so that what is compared is the engine.
"""

from __future__ import annotations

import json
import socket
from typing import Any


class EngineConnection:
    """One connection to an engine's socket. `request` returns (status, decoded JSON or bytes)."""

    def __init__(self, path: str, version: str = "v1.41") -> None:
        self.path, self.version = path, version
        self.socket = self._connect()
        self.buffer = b""

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(120)
        connection.connect(self.path)
        return connection

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        self.send(method, path, body)
        status, headers = self._head()
        payload = self._body(status, headers)
        if "json" in headers.get("content-type", "") and payload:
            return status, json.loads(payload)
        return status, payload

    def send(self, method: str, path: str, body: Any = None, *, upgrade: bool = False) -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} /{self.version}{path} HTTP/1.1\r\nHost: d\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        elif method == "POST":
            head += "Content-Length: 0\r\n"
        if upgrade:
            head += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        self.socket.sendall(head.encode() + b"\r\n" + data)

    def drain(self) -> tuple[int, int]:
        """Read a response to its end and keep nothing: (status, bytes of body). For streams and logs."""
        status, headers = self._head()
        if status == 101 or (
            "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "")
        ):
            total = len(self.buffer)
            self.buffer = b""
            while data := self.socket.recv(1 << 20):
                total += len(data)
            self.socket.close()
            self.socket = self._connect()
            return status, total
        return status, len(self._body(status, headers))

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError(f"{self.path}: closed in the middle of an answer")
        self.buffer += data

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        return int(lines[0].split()[1]), headers

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return b""
        parts = []
        while True:
            while b"\r\n" not in self.buffer:
                self._more()
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            size = int(line.split(b";")[0], 16)
            data = self._take(size + 2)
            if size == 0:
                return b"".join(parts)
            parts.append(data[:-2])

    def _take(self, size: int) -> bytes:
        if len(self.buffer) < size:
            pieces, have = [self.buffer], len(self.buffer)
            while have < size:
                data = self.socket.recv(1 << 20)
                if not data:
                    raise ConnectionError(f"{self.path}: closed in the middle of a body")
                pieces.append(data)
                have += len(data)
            self.buffer = b"".join(pieces)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def close(self) -> None:
        self.socket.close()
