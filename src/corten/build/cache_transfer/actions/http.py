"""Requests to a cache service, by the client that talks to registries: its time limits, TLS and proxies."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from corten.errors import Conflict, CortenError, Denied, NotFound, Unavailable
from corten.image.registry.config import RegistryConfig
from corten.image.registry.endpoint import Endpoint
from corten.image.registry.retry import RETRIED, RetryPolicy, Timeouts
from corten.image.registry.tls import context_for
from corten.image.registry.transport import Answer, Body, Connections, Transport

T = TypeVar("T")
_ANY = frozenset(range(200, 600)) - {301, 302, 303, 307, 308}
_DONE = frozenset({200, 201, 202, 204})
_LIMIT = 4 << 20


class AlreadyThere(Conflict):
    """The key is taken: what has it is there, or on its way."""


class _Refusal(msgspec.Struct):
    """Version 1 says `message` and `typeKey`, version 2 (twirp) `code` and `msg`."""

    message: str = ""
    msg: str = ""
    code: str = ""
    type_key: str = msgspec.field(default="", name="typeKey")


class HttpSessions:
    """Connections of one build, opened with the first request."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    def transport(self, url: str) -> Transport:
        """To the server of `url`."""

        async def nobody() -> None:
            return None

        connections = Connections(self._open, self._context, RetryPolicy(), Timeouts())
        return Transport(Endpoint(urlsplit(url).netloc, url), connections, nobody)

    async def close(self) -> None:
        """Closes the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, max_field_size=64 << 10
            )
        return self._session

    def _context(self, host: str, insecure: bool) -> ssl.SSLContext:
        known = self._contexts.get((host, insecure))
        if known is None:
            certificates = RegistryConfig.load().certs_dirs
            known = self._contexts[host, insecure] = context_for(host, certificates, insecure=insecure)
        return known


class ServiceClient:
    """One service; `seconds` is how long a request is tried again when the service has too much to do."""

    def __init__(self, transport: Transport, token: str, seconds: float) -> None:
        self.transport = transport
        self._token = token
        self._seconds = seconds

    async def call(
        self,
        method: str,
        target: str,
        *,
        what: str,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        signed: bool = False,
    ) -> Answer:
        """A successful answer. `signed`: the URL says who we are, and nobody else gets the token.
        AlreadyThere, Denied, NotFound, Unavailable."""
        sent = dict(headers or {})
        if not signed:
            sent["Authorization"] = f"Bearer {self._token}"
        end = time.monotonic() + self._seconds
        attempt = 0
        while True:
            answer = await self.transport.call(
                method, target, what=what, headers=sent, body=body, accept=_ANY, limit=_LIMIT
            )
            if answer.status in _DONE:
                return answer
            failure = _explained(answer, what)
            if answer.status not in RETRIED:
                raise failure
            retry_after = answer.headers.get("Retry-After")
            delay = self.transport.retry.delay(attempt, retry_after)
            if delay is None or time.monotonic() + delay > end:
                raise failure
            await asyncio.sleep(delay)
            attempt += 1

    async def ask(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None,
        kind: type[T],
        *,
        what: str,
        accept: str,
    ) -> T | None:
        """JSON for JSON; None for an answer without a body."""
        answer = await self.call(
            method,
            target,
            what=what,
            headers={"Accept": accept, "Content-Type": "application/json"},
            body=msgspec.json.encode(body) if body is not None else None,
        )
        if not answer.body:
            return None
        try:
            return msgspec.json.decode(answer.body, type=kind, strict=False)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(f"cannot {what}: the cache service gives no answer of its protocol") from error


def _explained(answer: Answer, what: str) -> CortenError:
    try:
        told = msgspec.json.decode(answer.body.removeprefix(b"\xef\xbb\xbf"), type=_Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        told = _Refusal()
    text = clean(told.message or told.msg or told.code)
    reason = text or f"HTTP status {answer.status}"
    message = f"cannot {what}: the cache service says: {reason}"
    if "AlreadyExists" in told.type_key or told.code == "already_exists" or "already exists" in text.lower():
        return AlreadyThere(message)
    if answer.status in (401, 403):
        return Denied(message)
    if answer.status == 404:
        return NotFound(message)
    return Unavailable(message)


def clean(text: str) -> str:
    """One printable line: what a service says goes to a terminal."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(line.split())[:300].rstrip(".")
