"""The engine process: from the launcher's start to the last listener's end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corten.client.address import Address
from corten.client.autostart import is_free, listens
from corten.daemon import listening
from corten.engine.paths import Paths
from corten.errors import Conflict
from corten.launch.client import Launcher

if TYPE_CHECKING:
    from corten.daemon.server import Daemon

PATIENCE = 15.0
"""Seconds that an engine has to end after it has stopped listening."""


@dataclass(frozen=True)
class Settings:
    """What the command line and the environment say."""

    paths: Paths
    tcp: str = ""
    group: str = ""
    #: Seconds without a container and without a request after which the engine ends; None: never.
    idle_exit: float | None = None


async def serve(settings: Settings, ready_fd: int | None) -> None:
    """Runs an engine until SIGTERM, SIGINT, a client's shutdown, or idleness. Containers keep running."""
    paths = settings.paths
    paths.make()
    await refuse_second_engine(paths)
    async with AsyncExitStack() as stack:
        # Before the heavy imports below: both start side by side, and the launcher inherits nothing.
        launcher = await Launcher.start(run_dir=paths.run)
        try:
            from corten.daemon.server import Daemon
            from corten.daemon.stdio import StdioBroker
            from corten.engine.engine import Engine

            engine = await Engine.start(paths, launcher=launcher)
        except BaseException:
            await launcher.close()
            raise
        stack.push_async_callback(engine.close)
        stop = _stop_on_signals(stack)
        http, stdio = _listeners(settings, stack)
        broker = StdioBroker(stdio)
        stack.callback(broker.close)
        daemon = Daemon(engine, stdio=broker, shutdown=stop.set)
        stack.push_async_callback(daemon.close)
        for listener in http:
            await daemon.listen(listener)
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        listening.tell_ready(ready_fd, os.environ)
        if settings.idle_exit is not None:
            idle = asyncio.create_task(_watch_idle(daemon, settings.idle_exit, stop))
            stack.callback(idle.cancel)
        await stop.wait()


async def refuse_second_engine(paths: Paths) -> None:
    """Conflict when an engine runs: said at once, for a second launcher would wait for the first.

    One that has the lock and listens no more is about to end, and is waited for. `Engine.start` takes the
    lock for good.
    """
    address = Address(path=str(paths.socket))
    deadline = time.monotonic() + PATIENCE
    while not is_free(paths.lock):
        if listens(address) or time.monotonic() > deadline:
            raise Conflict(
                f"another engine runs on {paths.run}: use it, or set CORTEN_RUN and CORTEN_ROOT for a second"
                " one"
            )
        await asyncio.sleep(0.01)


def _stop_on_signals(stack: AsyncExitStack) -> asyncio.Event:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
        stack.callback(loop.remove_signal_handler, number)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return stop


def _listeners(settings: Settings, stack: AsyncExitStack) -> tuple[list[socket.socket], socket.socket]:
    """The HTTP listeners and the one of stdio.sock; those that were made here are unlinked at the end."""
    http, stdio = [], None
    for listener in listening.inherited(os.environ):
        if listening.is_stdio(listener):
            stdio = listener
        else:
            http.append(listener)
    if not http:
        http.append(listening.listen_unix(settings.paths.socket, group=settings.group))
        stack.callback(settings.paths.socket.unlink, missing_ok=True)
    if stdio is None:
        stdio = listening.listen_unix(settings.paths.stdio_socket, group=settings.group)
        stack.callback(settings.paths.stdio_socket.unlink, missing_ok=True)
    if settings.tcp:
        http.append(listening.listen_tcp(settings.tcp))
    return http, stdio


async def _watch_idle(daemon: Daemon, seconds: float, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while True:
        rest = daemon.last_activity + seconds - loop.time()
        if daemon.active or rest > 0:
            await asyncio.sleep(max(rest, 0.1, seconds / 4))
        elif await daemon.engine.containers.list():
            await asyncio.sleep(max(0.1, seconds / 4))
        else:
            stop.set()
            return
