"""One process's event loop: aiohttp's server over the application, and the collector beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence

from aiohttp import web

from corten.registry.access import Access, OpenAccess
from corten.registry.accounts.opening import open_accounts
from corten.registry.accounts.token_service import TokenService
from corten.registry.app import Application
from corten.registry.audit import Audit, NoAudit
from corten.registry.blobs.opening import open_blobs
from corten.registry.blobs.store import BlobStore
from corten.registry.collect import Collector
from corten.registry.config import Config
from corten.registry.metadata.database import Database
from corten.registry.metadata.store import Metadata, SqlMetadata
from corten.registry.services import Services
from corten.registry.uploads import Uploads
from corten.registry.upstream.opening import open_upstreams

_LOG = logging.getLogger("corten.registry")
BACKLOG = 1024
DRAIN_SECONDS = 30
READ_AHEAD = 1 << 20


class Worker:
    """A registry in one event loop. `start`, then `close`; tests run it in their own loop."""

    def __init__(
        self,
        config: Config,
        metadata: Metadata,
        blobs: BlobStore,
        access: Access | None = None,
        audit: Audit | None = None,
        tokens: TokenService | None = None,
    ) -> None:
        self.config = config
        self.metadata = metadata
        self.blobs = blobs
        self.uploads = Uploads(metadata, blobs, config)
        self.collector = Collector(metadata, blobs, config.collection)
        self.services = Services(
            config,
            metadata,
            blobs,
            self.uploads,
            access or OpenAccess(),
            audit or NoAudit(),
            tokens,
            open_upstreams(config, metadata, blobs, self.uploads),
        )
        self._application = Application(self.services)
        self._runner: web.ServerRunner | None = None
        self._collecting: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, config: Config) -> Worker:
        """A worker with the collaborators that `config` names; the database has to be migrated."""
        database = Database(config.database_url)
        access, tokens = open_accounts(config, database)
        return cls(config, SqlMetadata(database), open_blobs(config), access, tokens=tokens)

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serves on sockets that listen already."""
        await self.services.access.start()
        if self.services.upstreams is not None:
            await self.services.upstreams.start()
        server = web.Server(
            self._application,
            keepalive_timeout=self.config.limits.keepalive_seconds,
            read_bufsize=READ_AHEAD,
            auto_decompress=False,
            access_log=None,
        )
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        for listener in sockets:
            # A backlog of 1 makes the loop accept one connection at a time: with several processes on one
            # socket, the one that has nothing to do takes the next. The kernel's own backlog is another
            # matter.
            await web.SockSite(self._runner, listener, backlog=1).start()
            listener.listen(BACKLOG)
        self._collecting = asyncio.create_task(self.collector.run())

    async def close(self) -> None:
        """Takes no more connections, lets requests come to their end (half a minute), and lets go of
        everything."""
        if self._collecting is not None:
            self._collecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._collecting
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            # aiohttp would drop what still comes of the bodies of requests under way.
            await self._application.drain(DRAIN_SECONDS)
            await self._runner.cleanup()
        await self.collector.close()
        if self.services.upstreams is not None:
            await self.services.upstreams.close()
        await self.uploads.close()
        await self.services.access.close()
        await self.metadata.close()


async def serve(config: Config, sockets: Sequence[socket.socket], parent: int, ready: int) -> None:
    """Runs a worker until SIGTERM or SIGINT, or until `parent` (a pipe) is closed; writes a byte to `ready`
    when it serves."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = Worker.of(config)
    await worker.start(sockets)
    if parent >= 0:
        loop.add_reader(parent, stop.set)
    if ready >= 0:
        os.write(ready, b"1")
        os.close(ready)
    await stop.wait()
    if parent >= 0:
        loop.remove_reader(parent)
    await worker.close()
