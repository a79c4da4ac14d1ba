"""Large bodies, straight from the socket; and with an aiohttp that this was not tried with, through it."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import ServerProcess, digest_of

SIZE = 9 << 20


@pytest.fixture(scope="module", params=["straight", "through aiohttp"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    place = tmp_path_factory.mktemp("large")
    before = os.environ.get("PYTHONPATH")
    if request.param != "straight":
        # The interpreter imports this first of all.
        (place / "sitecustomize.py").write_text("import aiohttp\naiohttp.__version__ = '99.0'\n")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(place), before)))
    try:
        server = ServerProcess(place).start()
    finally:
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before
    yield server
    server.close()


def send(server: ServerProcess, path: str, data: bytes, pieces: Iterator[int], pause: float) -> bytes:
    """A PUT whose head and body come in such pieces; the head of the answer."""
    head = f"PUT {path}?digest={digest_of(data)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    rest = head.encode() + data
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while rest:
            size = next(pieces)
            connection.sendall(rest[:size])
            rest = rest[size:]
            time.sleep(pause)
        return connection.recv(4096)


def chances(seed: int, most: int) -> Iterator[int]:
    chance = random.Random(seed)
    while True:
        yield chance.randint(1, most)


@pytest.mark.parametrize(
    ("first", "most", "pause"),
    [
        (0, 1 << 30, 0),
        (0, 100, 0),
        (0, 300_000, 0.001),
        (90, 4 << 20, 0.05),
        (200, 65_537, 0),
        (150, 1 << 22, 0),
    ],
)
def test_bodies_in_pieces(server: ServerProcess, first: int, most: int, pause: float) -> None:
    """However head and body are cut up, what is stored is what was sent."""
    size = SIZE if most > 100 else 4_300_000
    data = os.urandom(size)
    path = server.client().begin("large").removeprefix(server.url)

    def pieces() -> Iterator[int]:
        if first:
            yield first
        found = chances(len(data) + most, most)
        if most == 100:
            for _ in range(2000):
                yield next(found)
            yield 1 << 30
        yield from found

    answer = send(server, path, data, pieces(), pause)
    assert answer.startswith(b"HTTP/1.1 201"), answer
    assert server.client().get(f"/v2/large/blobs/{digest_of(data)}").body == data


def test_many_at_once(server: ServerProcess) -> None:
    """More than there are threads: the others take aiohttp's way."""
    wrong: list[bytes] = []

    def push(number: int) -> None:
        client = server.client()
        data = random.Random(number).randbytes(4_500_000)
        path = client.begin("many").removeprefix(server.url)
        answer = send(server, path, data, chances(number, 400_000), 0.0005)
        if not answer.startswith(b"HTTP/1.1 201") or (
            client.get(f"/v2/many/blobs/{digest_of(data)}").body != data
        ):
            wrong.append(answer)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


def test_the_way_that_is_taken(server: ServerProcess, request: pytest.FixtureRequest) -> None:
    """A connection whose socket was taken ends with its answer."""
    straight = "through aiohttp" not in request.node.name
    client = server.client()
    answer = client.finish(client.begin("way"), digest_of(bytes(SIZE)), bytes(SIZE))
    assert answer.status == 201
    assert (answer.header("Connection").lower() == "close") == straight


def test_a_break_in_the_middle(server: ServerProcess, tmp_path: Path) -> None:
    """What came is kept, to the byte."""
    data = os.urandom(SIZE)
    client = server.client()
    location = client.begin("break")
    path = location.removeprefix(server.url)
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(
            f"PATCH {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            + data[:5_000_001]
        )
    deadline = time.monotonic() + 20
    while (offset := int(client.get(location).header("Range").partition("-")[2]) + 1) != 5_000_001:
        assert time.monotonic() < deadline, offset
        time.sleep(0.05)
    assert client.finish(location, digest_of(data), data[offset:]).status == 201
