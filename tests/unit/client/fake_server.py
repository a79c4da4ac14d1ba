"""A server that plays prepared answers, one connection after another, and keeps what it was sent."""

from __future__ import annotations

import socket
import threading
from pathlib import Path


class FakeServer:
    """`script`: for each connection a list of answers; each is sent when a whole request has come."""

    def __init__(self, path: Path, script: list[list[bytes]]) -> None:
        self.path = path
        self.requests: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._script = script
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers in self._script:
            connection, _ = self._listener.accept()
            with connection:
                for answer in answers:
                    self.requests.append(self._read_request(connection))
                    connection.sendall(answer)
        self._listener.close()

    @staticmethod
    def _read_request(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            while not body.endswith(b"0\r\n\r\n"):
                body += connection.recv(65536)
        elif b"content-length:" in head.lower():
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive(), "the client did not ask for everything in the script"
