"""`corten registry serve`: the listening sockets, worker processes that inherit them, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence

from corten.errors import CortenError, Denied, InvalidArgument
from corten.registry import tls
from corten.registry.accounts.opening import may_be_open
from corten.registry.accounts.preparing import prepare
from corten.registry.audit_log import open_audit
from corten.registry.config import Config, is_loopback, parse_address
from corten.registry.listeners import BACKLOG
from corten.registry.metadata import accounts
from corten.registry.metadata.database import Database
from corten.registry.shared import Shared
from corten.registry.worker import serve

_LOG = logging.getLogger("corten.registry")
PAUSE_SECONDS = 1.0
"""After a worker ended by itself, another one starts so much later."""


def listen(addresses: Sequence[str]) -> list[socket.socket]:
    """Sockets on every address. InvalidArgument."""
    found: list[socket.socket] = []
    try:
        for text in addresses:
            host, port = parse_address(text)
            try:
                where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
                family, _type, _protocol, _name, address = where[0]
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


def require_leave(config: Config, has_accounts: bool) -> None:
    """Denied when other machines would reach a registry where everybody may do everything, and the operator
    has not said that this is meant. Says so when passwords would travel in clear."""
    strangers = [text for text in config.listen if not is_loopback(parse_address(text)[0])]
    if not strangers:
        return
    if not has_accounts and not may_be_open(config):
        raise Denied(
            f"{strangers[0]} can be reached from other machines, and everybody there could pull, push and"
            " delete: make an account (corten registry user add), give --allow-anonymous to accept that, or"
            " listen on 127.0.0.1"
        )
    if has_accounts and not config.tls.on and not config.external_url.startswith("https://"):
        _LOG.warning(
            "passwords for %s travel in clear: give --tls-cert and --tls-key, or --external-url https://…"
            " when a proxy ends TLS",
            strangers[0],
        )


def greeting(config: Config, sockets: Sequence[socket.socket]) -> str:
    """The three lines a person needs next."""
    host, port = sockets[0].getsockname()[:2]
    scheme = "https" if config.tls.on else "http"
    host = f"[{host}]" if ":" in host else host
    place = config.storage or str(config.root_path)
    here = f"{'localhost' if host in ('127.0.0.1', '0.0.0.0', '[::1]', '[::]') else host}:{port}"
    return (
        f"The registry is at {scheme}://{host}:{port}, and keeps its images in {place}\n"
        f"Push to it:    corten tag busybox {here}/busybox && corten push {here}/busybox\n"
        f"Pull from it:  corten pull {here}/busybox\n"
    )


def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT; the exit code."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    if config.tls.on:
        tls.load(config.tls)  # what is wrong with it is said at once, and once
    _raise_limits()
    database = Database(config.database_url)
    database.migrate()
    has_accounts = database.read(accounts.any_account)
    require_leave(config, has_accounts)
    if has_accounts:
        prepare()  # for all workers
    database.close()
    open_audit(config).close()  # what is wrong with it is said here, too
    sockets = listen(config.listen)
    metrics_sockets = listen((config.metrics.listen,) if config.metrics.listen else ())
    # What was imported is not looked at again by the collector of cycles, and stays shared between the
    # workers.
    gc.collect()
    gc.freeze()
    try:
        return _Supervisor(config, sockets, metrics_sockets).run()
    finally:
        for listener in (*sockets, *metrics_sockets):
            listener.close()


def _raise_limits() -> None:
    """Each connection needs a descriptor; the limit that programs begin with is for those that use
    select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Supervisor:
    """Starts workers, and others in the place of those that end. It serves nothing itself, and needs no
    event loop."""

    def __init__(
        self,
        config: Config,
        sockets: Sequence[socket.socket],
        metrics_sockets: Sequence[socket.socket],
    ) -> None:
        self._config = config
        self._sockets = sockets
        self._metrics_sockets = metrics_sockets
        self._shared = Shared.of(config)
        self._stopping = False
        self._alive: dict[int, int] = {}
        """Workers by their process; each has a number, which the one that takes its place has as well."""
        # The workers' end of this pipe tells them when this process is gone, however it went.
        self._pipe = os.pipe()

    def run(self) -> int:
        count = self._config.worker_count()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, self._stop)
        if self._config.tls.on:
            signal.signal(signal.SIGHUP, self._reload)
        failed = False
        for number in range(count):
            # A worker that is told to stop before it serves has not failed.
            if not self._stopping and not self._start(number) and not self._stopping:
                failed = True
                self._stop()
        if not self._stopping:
            sys.stdout.write(greeting(self._config, self._sockets))
            sys.stdout.flush()
            _tell_ready()
        while self._alive:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            number = self._alive.pop(pid, 0)
            if self._stopping:
                continue
            _LOG.error("worker %d ended (%s); starting another", pid, _ending(status))
            time.sleep(PAUSE_SECONDS)
            if not self._stopping:
                self._start(number)
        return 1 if failed else 0

    def _stop(self, *_arguments: object) -> None:
        self._stopping = True
        self._tell(signal.SIGTERM)

    def _reload(self, *_arguments: object) -> None:
        self._tell(signal.SIGHUP)

    def _tell(self, number: signal.Signals) -> None:
        for pid in list(self._alive):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _start(self, number: int) -> bool:
        """Forks a worker; whether it serves."""
        reader, writer = os.pipe()
        # A worker that is not noted yet would not be told to stop.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(self._pipe[1])
            os._exit(self._work(number, writer, before))
        self._alive[pid] = number
        if self._stopping:
            os.kill(pid, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writer)
        with open(reader, "rb") as ready:
            return ready.read(1) == b"1"

    def _work(self, number: int, ready: int, mask: Iterable[int]) -> int:
        """A worker's whole life; its exit code."""
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, signal.SIG_DFL)
        if self._config.tls.on:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something that can be reloaded
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            asyncio.run(
                serve(
                    self._config,
                    self._sockets,
                    self._metrics_sockets,
                    self._shared,
                    number,
                    self._pipe[0],
                    ready,
                )
            )
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
