"""Attach, logs, terminal sizes: what clients see and type. The bytes go from the monitor to the client."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

from corten.engine.core import Core
from corten.engine.detach_keys import parse_detach_keys
from corten.engine.launching import log_path
from corten.engine.lifecycle import Lifecycle
from corten.engine.record import Container, PendingClient
from corten.engine.results import Attachment, LogQuery, LogStream
from corten.engine.state import Status
from corten.errors import Conflict, CortenError, Unsupported
from corten.launch.client import Attachment as ClientSocket
from corten.launch.log import LogQuery as ReadQuery
from corten.launch.log import LogReader


class Streams:
    """Connects clients with containers."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle

    def check_attach(self, container: Container) -> bool:
        if container.state.status.value == "paused":
            raise Conflict(f"container {container.id} is paused, unpause the container before attach")
        if container.state.status.value == "restarting":
            raise Conflict(f"container {container.id} is restarting, wait until the container is running")
        if container.removal:
            raise Conflict(f"container {container.id} is being removed")
        return container.config.tty

    async def attach(
        self,
        container: Container,
        fd: int,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        logs: bool,
        stream: bool,
        detach_keys: str | None,
    ) -> Attachment:
        """`fd` is closed here in any case, at the latest when the monitor has it."""
        try:
            self.check_attach(container)
            keys = parse_detach_keys(detach_keys)
            if not container.config.tty:
                keys = b""  # nobody types there: the two bytes are data
            closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            # One that never ran has no log, and its client must wait for it before its start can come.
            if logs and container.state.status is not Status.CREATED:
                await self._send_log(container, fd, stdout=stdout, stderr=stderr)
        except BaseException:
            os.close(fd)
            raise
        if not stream:
            os.close(fd)
            closed.set_result(None)
            return Attachment(closed)
        self._core.publish(container, "attach")
        client = ClientSocket(
            fd=fd,
            stdin=stdin and container.config.open_stdin,
            stdout=stdout,
            stderr=stderr,
            mux=not container.config.tty,
            detach_keys=keys,
        )
        pending = PendingClient(client, closed)
        monitor = container.monitor
        if monitor is None:
            container.pending.append(pending)
            return Attachment(closed)
        try:
            handle = await monitor.attach(
                fd,
                stdin=client.stdin,
                stdout=client.stdout,
                stderr=client.stderr,
                detach_keys=keys,
                mux=client.mux,
            )
        except CortenError:
            closed.set_result(None)
            return Attachment(closed)
        finally:
            pending.close_fd()
        self._lifecycle.follow_attachment(container, handle.wait(), closed)
        return Attachment(closed)

    async def _send_log(self, container: Container, fd: int, *, stdout: bool, stderr: bool) -> None:
        query = ReadQuery(stdout=stdout, stderr=stderr, mux=not container.config.tty)

        def send() -> None:
            with socket.socket(fileno=os.dup(fd)) as connection:
                connection.setblocking(True)
                try:
                    for chunk in LogReader(log_path(self._core, container)).read(query):
                        connection.sendall(chunk)
                finally:
                    # The mode belongs to the open file, which the monitor shares.
                    connection.setblocking(False)

        try:
            await asyncio.to_thread(send)
        except OSError:
            return

    async def logs(self, container: Container, query: LogQuery) -> LogStream:
        if container.host_config.log_config.type == "none":
            raise Unsupported("configured logging driver does not support reading")
        read = ReadQuery(
            since_ns=query.since or 0,
            until_ns=query.until or 0,
            tail=query.tail,
            timestamps=query.timestamps,
            stdout=query.stdout,
            stderr=query.stderr,
            mux=not container.config.tty,
        )
        chunks = self._chunks(container, read, follow=query.follow)
        # Opened before the answer begins: a client may remove the container next, and read the answer then
        # (docker-py's `run(remove=True)` does).
        await anext(chunks)
        return LogStream(container.config.tty, chunks)

    async def _chunks(self, container: Container, query: ReadQuery, *, follow: bool) -> AsyncIterator[bytes]:
        reader = LogReader(log_path(self._core, container))
        if not follow or container.monitor is None:
            chunks = reader.read(query)
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                yield chunk
            return
        ended = asyncio.Event()
        watcher = asyncio.get_running_loop().create_task(self._watch_end(container, ended))
        try:
            async for chunk in reader.follow(query, ended):
                yield chunk
        finally:
            watcher.cancel()

    async def _watch_end(self, container: Container, ended: asyncio.Event) -> None:
        """Follows through restarts by the policy, as Docker does."""
        while container.ended is not None:
            current = container.ended
            await asyncio.wait([current])
            while container.state.status.value == "restarting":
                await asyncio.sleep(0.05)
            if container.ended is current:
                break
        ended.set()

    async def resize(self, container: Container, height: int, width: int) -> None:
        monitor = container.monitor
        if monitor is None:
            raise Conflict(f"cannot resize a stopped container: {container.id}")
        await monitor.resize(height, width)
