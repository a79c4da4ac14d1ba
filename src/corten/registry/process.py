"""`corten registry serve`: the listening sockets, worker processes that inherit them, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence

from corten.errors import CortenError, Denied, InvalidArgument
from corten.registry.config import Config, is_loopback, parse_address
from corten.registry.metadata.database import Database
from corten.registry.worker import BACKLOG, serve

_LOG = logging.getLogger("corten.registry")
PAUSE_SECONDS = 1.0
"""After a worker ended by itself, another one starts so much later."""


def listen(config: Config) -> list[socket.socket]:
    """Sockets on every address of the configuration. InvalidArgument, Denied."""
    found: list[socket.socket] = []
    try:
        for text in config.listen:
            host, port = parse_address(text)
            if not is_loopback(host) and not config.allow_anonymous:
                raise Denied(
                    f"{text} can be reached from other machines, and everybody there could pull, push and"
                    " delete: give --allow-anonymous to accept that, or listen on 127.0.0.1"
                )
            try:
                addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
                family, _type, _protocol, _name, address = addresses[0]
                listener = socket.create_server(address, family=family, backlog=BACKLOG)
            except OSError as error:
                raise InvalidArgument(f"cannot listen on {text}: {error.strerror or error}") from error
            listener.setblocking(False)
            found.append(listener)
    except BaseException:
        for listener in found:
            listener.close()
        raise
    return found


def greeting(config: Config, sockets: Sequence[socket.socket]) -> str:
    """The three lines a person needs next."""
    host, port = sockets[0].getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    place = config.storage or str(config.root_path)
    here = f"{'localhost' if host in ('127.0.0.1', '0.0.0.0', '[::1]', '[::]') else host}:{port}"
    return (
        f"The registry is at http://{host}:{port}, and keeps its images in {place}\n"
        f"Push to it:    corten tag busybox {here}/busybox && corten push {here}/busybox\n"
        f"Pull from it:  corten pull {here}/busybox\n"
    )


def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT; the exit code."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("corten.registry.access").propagate = False
    if config.access_log:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logging.getLogger("corten.registry.access").addHandler(handler)
    database = Database(config.database_url)
    database.migrate()
    database.close()
    sockets = listen(config)
    # What was imported is not looked at again by the collector of cycles, and stays shared between the
    # workers.
    gc.collect()
    gc.freeze()
    try:
        return _Supervisor(config, sockets).run()
    finally:
        for listener in sockets:
            listener.close()


class _Supervisor:
    """Starts workers, and others in the place of those that end. It serves nothing itself, and needs no
    event loop."""

    def __init__(self, config: Config, sockets: Sequence[socket.socket]) -> None:
        self._config = config
        self._sockets = sockets
        self._stopping = False
        self._alive: set[int] = set()
        # The workers' end of this pipe tells them when this process is gone, however it went.
        self._pipe = os.pipe()

    def run(self) -> int:
        count = self._config.worker_count()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for _ in range(count):
            if not self._start():
                self._stop()
        if not self._stopping:
            sys.stdout.write(greeting(self._config, self._sockets))
            sys.stdout.flush()
            _tell_ready()
        failed = self._stopping
        while self._alive:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            self._alive.discard(pid)
            if self._stopping:
                continue
            _LOG.error("worker %d ended (%s); starting another", pid, _ending(status))
            time.sleep(PAUSE_SECONDS)
            if not self._stopping:
                self._start()
        return 1 if failed else 0

    def _stop(self, *_arguments: object) -> None:
        self._stopping = True
        for pid in self._alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _start(self) -> bool:
        """Forks a worker; whether it serves."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(self._pipe[1])
            os._exit(_work(self._config, self._sockets, self._pipe[0], writer))
        self._alive.add(pid)
        os.close(writer)
        with open(reader, "rb") as ready:
            return ready.read(1) == b"1"


def _work(config: Config, sockets: Sequence[socket.socket], parent: int, ready: int) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        asyncio.run(serve(config, sockets, parent, ready))
        return 0
    except CortenError as error:
        sys.stderr.write(f"corten: {error.message}\n")
    except Exception:
        _LOG.exception("a worker failed")
    finally:
        sys.stderr.flush()
    return 1


def _tell_ready() -> None:
    """For who started this process and waits (CORTEN_READY_FD)."""
    fd = os.environ.pop("CORTEN_READY_FD", "")
    if fd:
        os.write(int(fd), b"1")
        os.close(int(fd))


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit code {code}"
