"""A daemon on a socket of its own, over an engine that only records."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from corten.daemon.listening import listen_unix
from corten.daemon.server import Daemon
from corten.daemon.stdio import StdioBroker
from tests.unit.daemon.fake_engine import FakeEngine


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


class Served:
    """The daemon in a thread with its loop; requests are blocking."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "engine.sock"
        self.stdio_path = directory / "stdio.sock"
        self.shutdown_asked = threading.Event()
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.engine, self.daemon, self._broker = self.run(self._start())

    async def _start(self) -> tuple[FakeEngine, Daemon, StdioBroker]:
        engine = FakeEngine()
        broker = StdioBroker(listen_unix(self.stdio_path))
        daemon = Daemon(engine, stdio=broker, shutdown=self.shutdown_asked.set)  # type: ignore[arg-type]
        await daemon.listen(listen_unix(self.path))
        return engine, daemon, broker

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = _UnixConnection(self.path)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(str(self.path))
        return sock

    def close(self) -> None:
        async def end() -> None:
            await self.daemon.close()
            self._broker.close()

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    try:
        yield server
    finally:
        server.close()
