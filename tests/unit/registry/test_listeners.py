"""What is left when a renewed certificate cannot be served."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest

from corten.registry import tls
from corten.registry.listeners import Listeners
from corten.registry.sections import Tls


async def test_a_failure_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    for one in sockets:
        one.setblocking(False)
    listeners = Listeners(asyncio.Protocol, sockets, 20)
    loop = asyncio.get_running_loop()
    create, calls = loop.create_server, 0

    async def fails(*arguments: object, **settings: object) -> asyncio.Server:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(24, "Too many open files")
        return await create(*arguments, **settings)  # type: ignore[call-overload,no-any-return]

    try:
        await listeners.open(None)
        before = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(loop, "create_server", fails)
        with pytest.raises(OSError, match="Too many"):
            await listeners.open(None)
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before
        for one in sockets:
            _, writer = await asyncio.open_connection(*one.getsockname())
            writer.close()
            await writer.wait_closed()
    finally:
        listeners.close()
        for one in sockets:
            one.close()


async def test_a_certificate_that_could_not_be_served_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Tls(certificate=str(tmp_path / "crt"), key=str(tmp_path / "key"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    monkeypatch.setattr(tls, "load", lambda _settings: context)
    tries: list[ssl.SSLContext] = []

    async def renewed(found: ssl.SSLContext) -> None:
        tries.append(found)
        if len(tries) == 1:
            raise OSError(24, "Too many open files")

    watcher = tls.Watcher(settings, renewed)
    (tmp_path / "crt").write_text("new")
    for _ in range(4):  # seen, settled and failed, tried again, nothing new
        await watcher.look()
    assert tries == [context, context]


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


def connect(address: tuple[str, int], stop: threading.Event, failures: list[str], served: list[int]) -> None:
    while not stop.is_set():
        try:
            with socket.create_connection(address, 10) as connection:
                if connection.recv(100) != b"hello":
                    failures.append("no greeting")
        except OSError as error:
            failures.append(repr(error))
        served[0] += 1


async def test_no_connection_is_lost_when_it_opens_anew() -> None:
    """Also none that was accepted at that very moment."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    listeners = Listeners(Greeting, [listener], 10)
    await listeners.open(None)
    stop, failures, served = threading.Event(), list[str](), [0]
    clients = [
        threading.Thread(target=connect, args=(listener.getsockname(), stop, failures, served))
        for _ in range(3)
    ]
    for client in clients:
        client.start()
    try:
        for _ in range(300):
            await listeners.open(None)
            await asyncio.sleep(0.0005)
    finally:
        stop.set()
        await asyncio.gather(*(asyncio.to_thread(client.join) for client in clients))
        listeners.close()
        listener.close()
    assert failures == [] and served[0] > 10
