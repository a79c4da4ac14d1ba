"""One process's event loop: aiohttp's server over the application, and what works beside it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Coroutine, Sequence

from corten.registry import tls
from corten.registry.access import Access, OpenAccess
from corten.registry.accounts.opening import open_accounts
from corten.registry.accounts.token_service import TokenService
from corten.registry.app import Application
from corten.registry.audit import Audit, NoAudit
from corten.registry.audit_log import AuditLog, open_audit
from corten.registry.blobs.opening import open_blobs
from corten.registry.blobs.store import BlobStore
from corten.registry.collect import Collected, Collector
from corten.registry.config import Config
from corten.registry.connections import Server
from corten.registry.lines import LineFile, Lines, StandardError
from corten.registry.listeners import Listeners
from corten.registry.metadata.database import Database
from corten.registry.metadata.store import Metadata, SqlMetadata
from corten.registry.metrics import Metrics
from corten.registry.metrics_app import MetricsApplication
from corten.registry.page.opening import Page
from corten.registry.rate_limits import Addresses, RateLimits
from corten.registry.readiness import Readiness
from corten.registry.recorder import Recorder
from corten.registry.sections import parse_networks
from corten.registry.services import Services
from corten.registry.shared import NO_RESOURCE, Shared
from corten.registry.uploads import Uploads
from corten.registry.upstream.opening import open_upstreams

DRAIN_SECONDS = 30


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
        shared: Shared | None = None,
        number: int = 0,
    ) -> None:
        """`shared` is what the workers have in common, and `number` tells this one from the others."""
        self.config = config
        self.metadata = metadata
        self.blobs = blobs
        self.audit = audit or NoAudit()
        self._number = number
        shared = shared or Shared.of(config)
        self._counters = shared.counters.of(number)
        self.uploads = Uploads(metadata, blobs, config)
        self.collector = Collector(metadata, blobs, config.collection, self.audit, done=self._note_collected)
        self.services = Services(
            config=config,
            metadata=metadata,
            blobs=blobs,
            uploads=self.uploads,
            access=access or OpenAccess(),
            audit=self.audit,
            readiness=Readiness(metadata, blobs, self.audit),
            tokens=tokens,
            upstreams=open_upstreams(config, metadata, blobs, self.uploads, self.audit),
            page=Page(config, blobs) if config.page.enabled else None,
            metrics=Metrics(shared.counters, metadata, config.metrics) if config.metrics.enabled else None,
        )
        layout = shared.counters.layout
        self._lines = _access_log(config)
        self._unknown = layout.series("other", NO_RESOURCE)
        self._recorder = Recorder(self._counters, self._lines)
        self._application = Application(
            self.services,
            self._counters,
            layout,
            RateLimits(config.limits.rate, shared.buckets),
            self._recorder,
        )
        self._servers: list[Server] = []
        self._listeners: list[Listeners] = []
        self._watcher: tls.Watcher | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def of(cls, config: Config, shared: Shared | None = None, number: int = 0) -> Worker:
        """A worker with the collaborators that `config` names; the database has to be migrated."""
        database = Database(config.database_url)
        access, tokens = open_accounts(config, database)
        return cls(
            config,
            SqlMetadata(database),
            open_blobs(config),
            access,
            open_audit(config),
            tokens,
            shared,
            number,
        )

    async def start(
        self, sockets: Sequence[socket.socket], metrics_sockets: Sequence[socket.socket] = ()
    ) -> None:
        """Serves on sockets that listen already."""
        await self.services.access.start()
        if self.services.upstreams is not None:
            await self.services.upstreams.start()
        self._counters.reset_connections()
        settings = self.config.tls
        context = tls.load(settings) if settings.on else None
        public = await self._listen(self._application, sockets, context)
        if metrics_sockets:
            await self._listen(MetricsApplication(self.services), metrics_sockets, None)
        self._run(self.collector.run())
        if isinstance(self.audit, AuditLog):
            self._run(self.audit.run())
        if context is not None:
            # One of them complains about files that are wrong.
            self._watcher = tls.Watcher(settings, public.open, tells=self._number == 0)
            self._run(self._watcher.run())

    async def _listen(
        self,
        application: Application | MetricsApplication,
        sockets: Sequence[socket.socket],
        context: ssl.SSLContext | None,
    ) -> Listeners:
        addresses = Addresses(parse_networks(self.config.trusted_proxies))
        server = Server(
            application, self.config.limits, self._recorder, self._counters, self._unknown, addresses
        )
        listeners = Listeners(server, sockets, self.config.tls.handshake_seconds)
        self._servers.append(server)
        self._listeners.append(listeners)
        await listeners.open(context)
        return listeners

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def reload(self) -> None:
        """Takes renewed certificates now."""
        if self._watcher is not None:
            self._watcher.look_now()

    def _note_collected(self, done: Collected) -> None:
        for name in ("links", "blobs", "bytes", "uploads"):
            self._counters.add(f"collected_{name}", getattr(done, name))
        self._counters.add("collected_runs")

    async def close(self) -> None:
        """Takes no more connections, lets requests come to their end (half a minute), and lets go of
        everything."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for listeners in self._listeners:
            listeners.close()
        # aiohttp would drop what still comes of the bodies of requests under way.
        await self._application.drain(DRAIN_SECONDS)
        for server in self._servers:
            server.pre_shutdown()
        await asyncio.sleep(0)
        for server in self._servers:
            await server.shutdown(1)
        await self.collector.close()
        if self.services.upstreams is not None:
            await self.services.upstreams.close()
        if self.services.page is not None:
            await self.services.page.close()
        await self.uploads.close()
        await self.services.access.close()
        await self.metadata.close()
        self.audit.close()
        if self._lines is not None:
            self._lines.close()


def _access_log(config: Config) -> Lines | None:
    if config.access_log_file:
        return LineFile(config.access_log_file)
    return StandardError() if config.access_log else None


async def serve(
    config: Config,
    sockets: Sequence[socket.socket],
    metrics_sockets: Sequence[socket.socket],
    shared: Shared,
    number: int,
    parent: int,
    ready: int,
) -> None:
    """Runs a worker until SIGTERM or SIGINT, or until `parent` (a pipe) is closed; writes a byte to `ready`
    when it serves. SIGHUP makes it look at its certificate."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    worker = Worker.of(config, shared, number)
    if config.tls.on:
        loop.add_signal_handler(signal.SIGHUP, worker.reload)
    await worker.start(sockets, metrics_sockets)
    if parent >= 0:
        loop.add_reader(parent, stop.set)
    if ready >= 0:
        os.write(ready, b"1")
        os.close(ready)
    await stop.wait()
    if parent >= 0:
        loop.remove_reader(parent)
    await worker.close()
