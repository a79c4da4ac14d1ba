"""Clients of a container's stdio."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest

from corten.errors import InvalidArgument
from corten.launch.client import Attachment
from corten.launch.log import LogQuery, LogReader
from tests.system.launch.harness import open_fds, until

ALL = {"stdin": True, "stdout": True, "stderr": True}


def log_text(harness, name, **query):
    return b"".join(LogReader(harness.log(name)).read(LogQuery(mux=False, **query)))


async def attach(monitor, peer, **options):
    handle = await monitor.attach(peer.give(), **{**ALL, **options})
    peer.gave()
    return handle


def test_a_client_from_the_first_byte_on(scene, peer):
    async def scenario(harness):
        client = peer()
        monitor = await harness.launch(
            "one", "sh", "-c", "echo out; echo err >&2", attachments=(Attachment(fd=client.give()),)
        )
        client.gave()
        await monitor.start()
        assert (await monitor.wait()).code == 0
        await client.read_all()
        assert (client.text(1), client.text(2)) == (b"out\n", b"err\n")
        assert await monitor.attachments[0].wait() == "exited"
        assert log_text(harness, "one", stderr=False) == b"out\n"

    scene(scenario)


def test_only_the_streams_that_were_asked_for(scene, peer):
    async def scenario(harness):
        out, err, raw = peer(), peer(), peer(mux=False)
        clients = (
            Attachment(fd=out.give(), stderr=False),
            Attachment(fd=err.give(), stdout=False),
            Attachment(fd=raw.give(), mux=False),
        )
        monitor = await harness.launch(
            "one", "sh", "-c", "echo out; sleep 0.05; echo err >&2", attachments=clients
        )
        for each in (out, err, raw):
            each.gave()
        await monitor.start()
        assert [await each.read_all() for each in (out, err, raw)] == [
            b"\1\0\0\0\0\0\0\4out\n",
            b"\2\0\0\0\0\0\0\4err\n",
            b"out\nerr\n",
        ]

    scene(scenario)


def test_half_close_ends_stdin_and_output_still_comes(scene, peer):
    async def scenario(harness):
        monitor = await harness.start("one", "sort", open_stdin=True, stdin_once=True)
        client = peer()
        await attach(monitor, client)
        data = b"".join(b"%06d\n" % n for n in range(50_000, 0, -1))
        sender = asyncio.create_task(client.send(data))
        await sender
        client.sock.shutdown(socket.SHUT_WR)
        await client.read_all()
        assert client.text(1) == b"".join(b"%06d\n" % n for n in range(1, 50_001))
        assert (await monitor.wait()).code == 0

    scene(scenario)


def test_a_client_that_goes_away_ends_stdin_once(scene, peer):
    async def scenario(harness):
        monitor = await harness.start("one", "cat", open_stdin=True, stdin_once=True)
        client = peer()
        handle = await attach(monitor, client)
        await client.send(b"hello\n")
        await client.read_until(b"hello")
        client.close()
        assert await handle.wait() == "closed"
        assert (await monitor.wait()).code == 0

    scene(scenario)


def test_stdin_stays_open_without_once(scene, peer):
    async def scenario(harness):
        monitor = await harness.start("one", "cat", open_stdin=True)
        first, second = peer(), peer()
        handle = await attach(monitor, first)
        await first.send(b"one\n")
        await first.read_until(b"one\n")
        first.sock.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0.05)
        await attach(monitor, second)
        await second.send(b"two\n")
        await second.read_until(b"two\n")
        await first.read_until(b"two\n")
        handle.detach()
        assert await handle.wait() == "closed"
        await monitor.kill(signal.SIGKILL)
        assert log_text(harness, "one") == b"one\ntwo\n"

    scene(scenario)


@pytest.mark.parametrize("keys", [b"\x10\x11", b"q"])
def test_detach_keys_even_one_at_a_time(scene, peer, keys):
    async def scenario(harness):
        monitor = await harness.start("one", "cat", open_stdin=True, stdin_once=True)
        client = peer()
        handle = await attach(monitor, client, detach_keys=keys)
        await client.send(b"\x10a\n")
        await client.read_until(b"\x10a\n")
        for key in keys:
            await client.send(bytes([key]))
            await asyncio.sleep(0.02)
        assert await handle.wait() == "keys"
        await client.read_all()
        again = peer()
        await attach(monitor, again)
        await again.send(b"still here\n")
        await again.read_until(b"still here")

    scene(scenario)


def test_a_slow_client_holds_the_container_and_loses_nothing(scene, peer):
    async def scenario(harness):
        client = peer()
        monitor = await harness.launch(
            "one", "seq", "1", "400000", attachments=(Attachment(fd=client.give()),)
        )
        client.gave()
        await monitor.start()
        await asyncio.sleep(0.3)
        size = harness.log("one").stat().st_size
        await asyncio.sleep(0.2)
        assert harness.log("one").stat().st_size == size, "the container is not held back"
        assert size < 2_000_000
        await client.read_all()
        wanted = b"".join(b"%d\n" % n for n in range(1, 400_001))
        assert client.text(1) == wanted
        assert log_text(harness, "one") == wanted

    scene(scenario)


def test_a_slow_client_that_dies_is_dropped(scene, peer):
    async def scenario(harness):
        client = peer()
        monitor = await harness.launch(
            "one", "seq", "1", "400000", attachments=(Attachment(fd=client.give()),)
        )
        client.gave()
        await monitor.start()
        await asyncio.sleep(0.1)
        client.close()
        assert (await asyncio.wait_for(monitor.wait(), 20)).code == 0
        assert log_text(harness, "one") == b"".join(b"%d\n" % n for n in range(1, 400_001))
        assert await monitor.attachments[0].wait() == "closed"

    scene(scenario)


def test_the_exit_does_not_wait_for_a_slow_client(scene, peer):
    async def scenario(harness):
        client = peer()
        client.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        attachment = Attachment(fd=client.give())
        # More than the client's socket takes, less than fits into the container's pipe.
        monitor = await harness.launch("one", "seq", "1", "8000", attachments=(attachment,))
        client.gave()
        await monitor.start()
        assert (await asyncio.wait_for(monitor.wait(), 15)).code == 0
        await client.read_all()
        assert client.text(1) == b"".join(b"%d\n" % n for n in range(1, 8001))

    scene(scenario)


def test_input_for_a_container_that_does_not_read_it(scene, peer):
    async def scenario(harness):
        monitor = await harness.start(
            "one", "sh", "-c", "sleep 0.3; cat | wc -c", open_stdin=True, stdin_once=True
        )
        client = peer()
        await attach(monitor, client)
        await client.send(b"x" * 1_000_000)
        client.sock.shutdown(socket.SHUT_WR)
        await client.read_all()
        assert client.text(1).strip() == b"1000000"

    scene(scenario)


def test_input_after_the_container_closed_its_stdin(scene, peer):
    async def scenario(harness):
        monitor = await harness.start("one", "sh", "-c", "exec <&-; sleep 0.2; echo done", open_stdin=True)
        client = peer()
        await attach(monitor, client)
        for _ in range(5):
            await client.send(b"x" * 1000)
            await asyncio.sleep(0.01)
        await client.read_all()
        assert client.text(1) == b"done\n"

    scene(scenario)


def test_a_terminal(scene, peer):
    async def scenario(harness):
        client = peer(mux=False)
        attachment = Attachment(fd=client.give(), stdin=True, mux=False)
        monitor = await harness.launch("one", "sh", tty=True, open_stdin=True, attachments=(attachment,))
        client.gave()
        await monitor.start()
        await monitor.resize(33, 111)
        await client.send(b"stty size; tty && echo yes-a-terminal\n")
        await client.read_until(b"33 111")
        await client.read_until(b"\r\nyes-a-terminal")
        await monitor.resize(20, 70)
        await client.send(b"stty size\n")
        await client.read_until(b"20 70")
        await client.send(b"echo begun; sleep 100\n")
        await client.read_until(b"begun\r\n")
        await asyncio.sleep(0.1)
        await client.send(b"\x03")
        await client.read_until(b"^C")
        await asyncio.sleep(0.1)
        await client.send(b"exit 5\n")
        assert (await monitor.wait()).code == 5
        await client.read_all()
        assert b"33 111" in log_text(harness, "one")

    scene(scenario)


def test_the_last_words_on_a_terminal(scene):
    async def scenario(harness):
        for n in range(10):
            monitor = await harness.start(f"c{n}", "seq", "1", "3000", tty=True)
            assert (await monitor.wait()).code == 0
            assert log_text(harness, f"c{n}") == b"".join(b"%d\r\n" % n for n in range(1, 3001))

    scene(scenario)


def test_no_terminal_no_size(scene):
    async def scenario(harness):
        monitor = await harness.start("one", "sleep", "9")
        with pytest.raises(InvalidArgument, match="no terminal"):
            await monitor.resize(10, 10)
        with pytest.raises(InvalidArgument):
            await monitor.take_console()

    scene(scenario)


def test_a_terminal_that_the_client_serves_itself(scene):
    async def scenario(harness):
        monitor = await harness.start(
            "one", "sh", "-c", "read x; echo got $x", tty=True, stdio="fds", log_path=None
        )
        master = await monitor.take_console()
        os.write(master, b"word\n")
        assert (await monitor.wait()).code == 0
        text = b""
        while b"got word\r\n" not in text:
            text += os.read(master, 1000)
        os.close(master)

    scene(scenario)


def test_attached_clients_leave_no_descriptors(scene, peer):
    async def scenario(harness):
        monitor = await harness.start("one", "cat", open_stdin=True)
        await asyncio.sleep(0.05)
        before = open_fds()
        with open(f"/proc/{monitor.pid}/stat") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        held = len(os.listdir(f"/proc/{parent}/fd"))
        for _ in range(20):
            client = peer()
            await attach(monitor, client)
            await client.send(b"x\n")
            await client.read_until(b"x\n")
            client.close()
        await until(lambda: len(os.listdir(f"/proc/{parent}/fd")) == held)
        assert open_fds() == before

    scene(scenario)


def test_no_monitor_holds_the_sockets_of_another(scene, peer):
    """Requests that come faster than monitors are forked in advance: each client must still see its end."""

    async def scenario(harness):
        clients = [peer() for _ in range(12)]
        monitors = [
            await harness.launch(
                f"c{n}",
                "sh",
                "-c",
                f"echo {n}; exec sleep {30 * (n % 3)}",
                attachments=(Attachment(fd=client.give()),),
            )
            for n, client in enumerate(clients)
        ]
        for client in clients:
            client.gave()
        await asyncio.gather(*(monitor.start() for monitor in monitors))
        for n in range(0, 12, 3):
            await asyncio.wait_for(clients[n].read_all(), 5)
            assert clients[n].text(1) == b"%d\n" % n

    scene(scenario)
