"""TLS: contexts from files, and their renewal while connections go on."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable

from corten.errors import InvalidArgument
from corten.registry.sections import Tls

_LOG = logging.getLogger("corten.registry")


def load(settings: Tls) -> ssl.SSLContext:
    """A server's context: TLS 1.2 and newer; InvalidArgument tells which file is wrong, and how."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    context.set_alpn_protocols(["http/1.1"])
    for path in settings.files:
        _require_readable(path)
    try:
        # The empty password: without one, a key that is encrypted would be asked for at a terminal.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (ssl.SSLError, ValueError, OSError) as error:
        raise InvalidArgument(
            f"{settings.certificate} and {settings.key} are no certificate and its private key:"
            f" {_reason(error)}"
        ) from error
    if settings.client_ca:
        try:
            context.load_verify_locations(settings.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise InvalidArgument(
                f"{settings.client_ca} holds no certificates of authorities: {_reason(error)}"
            ) from error
        optional = settings.client_certificate == "optional"
        context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
        # A session that is taken up again would not show its certificate again.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def _require_readable(path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is another certificate's"
        if error.reason:
            return error.reason.replace("_", " ").lower()
        return "they are not in PEM, or the key is encrypted"
    return str(error)


class Watcher:
    """Loads files that have changed, and hands the new context on.

    A change is taken when the files have stayed the same for one look more, since a certificate and its key
    are rarely replaced in one moment; `look_now` waits for nothing. Files that are wrong change nothing, and
    are complained about once.
    """

    def __init__(
        self, settings: Tls, renewed: Callable[[ssl.SSLContext], Awaitable[None]], tells: bool = True
    ) -> None:
        self._settings = settings
        self._renewed = renewed
        self._tells = tells
        self._taken = self._seen = _signature(settings)
        self._hurry = asyncio.Event()

    def look_now(self) -> None:
        """Loads the files at once, whether or not they seem to have changed (SIGHUP)."""
        self._hurry.set()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._hurry.wait(), self._settings.watch_seconds)
                hurried = True
            except TimeoutError:
                hurried = False
            self._hurry.clear()
            await self.look(hurried)

    async def look(self, hurried: bool = False) -> None:
        """One look at the files."""
        seen = _signature(self._settings)
        settled, self._seen = seen == self._seen, seen
        if not hurried and (seen == self._taken or not settled):
            return
        before, self._taken = self._taken, seen
        try:
            context = await asyncio.to_thread(load, self._settings)
            await self._renewed(context)
        except InvalidArgument as error:
            if self._tells:
                _LOG.error("the certificate in use is kept: %s", error.message)
            return
        except OSError as error:
            # No fault of the files (there are no descriptors left): the next look tries again.
            self._taken = before
            _LOG.error("the certificate in use is kept for now: %s", error.strerror or error)
            return
        if self._tells:
            _LOG.info("the certificate %s was renewed", self._settings.certificate)


def _signature(settings: Tls) -> tuple[tuple[int, ...], ...]:
    found: list[tuple[int, ...]] = []
    for path in settings.files:
        try:
            status = os.stat(path)
            found.append(
                (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            )
        except OSError:
            found.append(())
    return tuple(found)
