"""An engine that records what it is asked for and answers from a table."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from corten.api.build import BuildRequest
from corten.api.container import ContainerCreate
from corten.api.system import Version
from corten.engine.events import EventBus
from corten.engine.results import Archive, Attachment, Created, Exit, LogQuery, LogStream, PathStat, Waiter


async def pieces(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


class Recorder:
    """Every method that is not written out records its call and returns (or raises) `answers[name]`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        async def method(*args: Any, **kwargs: Any) -> Any:
            return self.record(name, args, kwargs)

        return method

    def record(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.calls.append((name, args, kwargs))
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeContainers(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.log: list[bytes] = []
        self.tty = False
        self.input = b""

    async def create(self, request: ContainerCreate, **kwargs: Any) -> Created:
        self.record("create", (request,), kwargs)
        return Created("f" * 64, ("careful",))

    def wait(self, ref: str, condition: str = "not-running") -> Waiter:
        self.record("wait", (ref, condition), {})
        return Waiter(self.exit)

    async def check_attach(self, ref: str) -> bool:
        self.record("check_attach", (ref,), {})
        return self.tty

    async def attach(self, ref: str, fd: int, **kwargs: Any) -> Attachment:
        """Plays the monitor: a greeting, then what the client sends, in capitals, until its half-close."""
        self.calls.append(("attach", (ref,), kwargs))
        answer = self.answers.get("attach")
        if isinstance(answer, Exception):
            os.close(fd)
            raise answer
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        async def monitor() -> None:
            import socket

            with socket.socket(fileno=fd) as sock, contextlib.suppress(ConnectionError):
                sock.setblocking(False)
                await loop.sock_sendall(sock, b"hello ")
                while data := await loop.sock_recv(sock, 100):
                    self.input += data
                    await loop.sock_sendall(sock, data.upper())
                await loop.sock_sendall(sock, b" bye")
            done.set_result(None)

        self.monitor = loop.create_task(monitor())
        return Attachment(done)

    async def logs(self, ref: str, query: LogQuery) -> LogStream:
        self.record("logs", (ref, query), {})
        return LogStream(self.tty, pieces(*self.log))

    async def archive_get(self, ref: str, path: str) -> Archive:
        self.record("archive_get", (ref, path), {})
        return Archive(PathStat("f", 3, 0o644, "2024-01-01T00:00:00Z", ""), pieces(b"tar"))

    async def archive_put(self, ref: str, path: str, stream: AsyncIterator[bytes], **kwargs: Any) -> None:
        body = b"".join([piece async for piece in stream])
        self.record("archive_put", (ref, path, body), kwargs)


class FakeRegistry(Recorder):
    """`lines` are what pull and push answer with."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Any] = []

    async def pull(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self.record("pull", args, kwargs)
        async for line in pieces(*self.lines):
            yield line

    async def push(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self.record("push", args, kwargs)
        async for line in pieces(*self.lines):
            yield line


class FakeImages(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.registry = FakeRegistry()
        self.lines: list[Any] = []
        self.loaded = b""

    async def load(
        self, source: AsyncIterator[bytes] | int, *, quiet: bool = False, platform: str = ""
    ) -> AsyncIterator[Any]:
        if isinstance(source, int):
            self.loaded = os.read(source, 1 << 20)
        else:
            self.loaded = b"".join([piece async for piece in source])
        async for line in pieces(*self.lines):
            yield line


class FakeBuild(Recorder):
    def answer_credential(self, domain: str, auth: str) -> None:
        self.record("answer_credential", (domain, auth), {})


class FakeBuilds(Recorder):
    """`lines` are what a build tells; `request` and `upload` are what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Any] = []
        self.request: BuildRequest | None = None
        self.upload = b""
        self.build = FakeBuild()

    async def run(
        self, request: BuildRequest, upload: AsyncIterator[bytes] | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        self.request = request
        self.record("run", (), kwargs)
        if upload is not None:
            self.upload = b"".join([piece async for piece in upload])
        async for line in pieces(*self.lines):
            yield line

    def cancel(self, build_id: str) -> None:
        self.record("cancel", (build_id,), {})

    def find(self, build_id: str) -> FakeBuild:
        self.record("find", (build_id,), {})
        return self.build


class FakeExecs(Recorder):
    tty = False

    def check_start(self, exec_id: str) -> bool:
        self.record("check_start", (exec_id,), {})
        return self.tty


class FakeSystem(Recorder):
    def version(self) -> Version:
        return Version(version="1")


class FakeEngine:
    def __init__(self) -> None:
        self.containers = FakeContainers()
        self.execs = FakeExecs()
        self.images = FakeImages()
        self.builds = FakeBuilds()
        self.volumes = Recorder()
        self.networks = Recorder()
        self.system = FakeSystem()
        self.events = EventBus()
