"""Requests to one endpoint: authentication, redirects, retries, time limits, http where it is allowed."""

from __future__ import annotations

import asyncio
import copy
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from corten.errors import CortenError, IntegrityError, Unavailable
from corten.image.registry.address import located
from corten.image.registry.answer import explain
from corten.image.registry.auth import Authorizer
from corten.image.registry.challenge import parse_challenges
from corten.image.registry.credentials import Credential
from corten.image.registry.endpoint import Endpoint
from corten.image.registry.proxy import proxy_for
from corten.image.registry.retry import RETRIED, RetryPolicy, Timeouts

USER_AGENT = "corten"
_MAX_REDIRECTS = 10
_MAX_REFUSAL = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_QUICK = 2  # attempts where nobody listens
_BUFFER = 1 << 20

Body = Callable[[], AsyncIterator[bytes]] | bytes | None


@dataclass(frozen=True, slots=True)
class Connections:
    """What all endpoints share: the HTTP session, TLS contexts by host, and how patient to be."""

    session: Callable[[], aiohttp.ClientSession]
    context: Callable[[str, bool], ssl.SSLContext]
    retry: RetryPolicy
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class Answer:
    """A small answer, read whole; `url` is where the request went in the end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    url: str


class Transport:
    """One endpoint. `what` in every request says for messages what it is for ("pull busybox:latest")."""

    def __init__(
        self,
        endpoint: Endpoint,
        connections: Connections,
        credential: Callable[[], Awaitable[Credential | None]],
        *,
        hub: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.retry = connections.retry
        self._connections = connections
        self._timeouts = connections.timeouts
        self._hub = hub
        self._base = endpoint.base
        self._settled = not endpoint.fallback
        self._more: Mapping[str, str] = {}
        self.authorizer = Authorizer(endpoint, credential, self._exchange)

    def with_headers(self, headers: Mapping[str, str]) -> Transport:
        """The same endpoint and tokens, with these in every request to it and to where it redirects."""
        found = copy.copy(self)
        found._more = {**self._more, **headers}
        return found

    # -- requests

    async def call(
        self,
        method: str,
        target: str,
        *,
        what: str,
        scopes: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        accept: Collection[int] = (200,),
        limit: int = 4 << 20,
        retry: bool = True,
    ) -> Answer:
        """One request and its whole answer, of at most `limit` bytes. See `open`."""
        attempt = 0
        while True:
            response = await self.open(
                method,
                target,
                what=what,
                scopes=scopes,
                headers=headers,
                body=body,
                accept=accept,
                retry=retry,
            )
            try:
                data = b"" if method == "HEAD" else await self.read(response, limit, what)
                return Answer(response.status, response.headers, data, str(response.url))
            except Unavailable:
                delay = self.retry.delay(attempt) if retry else None
                if delay is None:
                    raise
                await asyncio.sleep(delay)
                attempt += 1
            finally:
                response.close() if response.content_length is None else response.release()

    async def open(
        self,
        method: str,
        target: str,
        *,
        what: str,
        scopes: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        accept: Collection[int] = (200,),
        retry: bool = True,
    ) -> aiohttp.ClientResponse:
        """The answer with one of the statuses `accept`, its body unread; the caller closes it.

        `target` is a path below the base (`/v2/…`), or a URL that the registry gave. Raises the refusal in
        words; with `retry`, after having tried what may be different the next time.
        """
        attempt = 0
        while True:
            retry_after = None
            try:
                response = await self._authorized(method, target, scopes, headers or {}, body, what)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure = self._failure(error, what)
                hopeless = isinstance(error, aiohttp.ClientSSLError | ssl.SSLError) or (
                    isinstance(error, aiohttp.ClientConnectorError) and attempt + 1 >= _QUICK
                )
                again = not hopeless
            else:
                if response.status in accept:
                    return response
                retry_after = response.headers.get("Retry-After")
                failure = await self._refusal(response, what, retry_after)
                again = response.status in RETRIED
            delay = self.retry.delay(attempt, retry_after) if retry and again else None
            if delay is None:
                raise failure
            await asyncio.sleep(delay)
            attempt += 1

    async def read(self, response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
        """A body of at most `limit` bytes; IntegrityError for more, Unavailable when it breaks off."""
        too_long = IntegrityError(
            f"cannot {what}: {self.endpoint.host} answers with more than the {limit} bytes that are allowed"
        )
        if (response.content_length or 0) > limit:
            raise too_long
        pieces = []
        size = 0
        async for piece in self.pieces(response, what):
            size += len(piece)
            if size > limit:
                raise too_long
            pieces.append(piece)
        return b"".join(pieces)

    async def pieces(self, response: aiohttp.ClientResponse, what: str) -> AsyncIterator[bytes]:
        """The body as it comes; Unavailable when it breaks off, stalls or only trickles."""
        loop = asyncio.get_running_loop()
        began, received = loop.time(), 0
        try:
            async for piece in response.content.iter_any():
                yield piece
                received += len(piece)
                if loop.time() - began > self._timeouts.stall:
                    if received < self._timeouts.least:
                        raise TimeoutError
                    began, received = loop.time(), 0
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error, what) from error

    async def login(self) -> str:
        """Checks the credentials; the identity token that the server gave, or ""."""
        what = f"log in to {self.endpoint.host}"
        response = await self._settle("GET", "/v2/", {}, None, what)
        challenges = parse_challenges(response.headers.getall("WWW-Authenticate", ()))
        status = response.status
        response.release()
        if status == 401:
            header = await self.authorizer.answer(challenges, (), offline=True)
            again = await self.open(
                "GET", "/v2/", what=what, headers={"Authorization": header}, accept=(200,), retry=False
            )
            again.release()
        elif status != 200:
            raise explain(status, b"", what, self.endpoint.host, hub=self._hub)
        return self.authorizer.identity_token

    # -- one attempt

    async def _authorized(
        self,
        method: str,
        target: str,
        scopes: Sequence[str],
        headers: Mapping[str, str],
        body: Body,
        what: str,
    ) -> aiohttp.ClientResponse:
        """One request; a 401 is answered once (twice when what was sent had been kept from before)."""
        sent = headers.get("Authorization") or self.authorizer.header(scopes)
        for _ in range(2):
            full = {**headers, "Authorization": sent} if sent else dict(headers)
            response = await self._settle(method, target, full, body, what)
            if response.status != 401 or "Authorization" in headers:
                return response
            if not self._is_ours(str(response.url)):
                return response  # a redirect's target gets no credentials
            challenges = parse_challenges(response.headers.getall("WWW-Authenticate", ()))
            if not challenges:
                return response
            response.release()
            self.authorizer.forget(sent)
            sent = await self.authorizer.answer(challenges, scopes)
        full = {**headers, "Authorization": sent} if sent else dict(headers)
        response = await self._settle(method, target, full, body, what)
        if response.status == 401:
            self.authorizer.forget(sent)
        return response

    async def _settle(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, what: str
    ) -> aiohttp.ClientResponse:
        """Finds out once whether an endpoint that may speak http does (as Docker: https is tried first)."""
        if self._settled or not target.startswith("/"):
            return await self._follow(method, target, headers, body, what)
        try:
            response = await self._follow(method, target, headers, body, what)
        except (aiohttp.ClientConnectionError, ssl.SSLError, TimeoutError, OSError) as error:
            if isinstance(error, aiohttp.ServerConnectionError) and not isinstance(
                error, aiohttp.ServerDisconnectedError
            ):
                raise
            secure, self._base = self._base, "http://" + self._base.partition("://")[2]
            try:
                response = await self._follow(method, target, headers, body, what)
            except BaseException:
                self._base = secure
                raise
        self._settled = True
        return response

    async def _follow(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, what: str
    ) -> aiohttp.ClientResponse:
        """Follows redirects of GET and HEAD by hand: credentials stay with the endpoint's own origin."""
        url = self.absolute(target)
        for _ in range(_MAX_REDIRECTS + 1):
            own = self._is_ours(url)
            sent = {key: value for key, value in headers.items() if own or key.lower() != "authorization"}
            response = await self._send(method, url, sent, body)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None or method not in ("GET", "HEAD"):
                return response
            response.release()
            url = self._redirected(url, location, what)
        raise Unavailable(f"cannot {what}: {self.endpoint.host} redirects in circles")

    def _redirected(self, url: str, location: str, what: str) -> str:
        target = located(url, location)
        if target is None:
            raise Unavailable(
                f"cannot {what}: {self.endpoint.host} redirects to {location[:200]!r}, which is no URL"
            )
        parts = urlsplit(target)
        if urlsplit(url).scheme == "https" and parts.scheme == "http" and not self.endpoint.insecure:
            raise Unavailable(
                f"cannot {what}: {self.endpoint.host} redirects to {parts.netloc} without TLS, which "
                "is refused"
            )
        return target

    def absolute(self, target: str) -> str:
        """`target` as a URL of this endpoint."""
        return self._base + target if target.startswith("/") else target

    def _is_ours(self, url: str) -> bool:
        return _origin(url) == _origin(self._base)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body
    ) -> aiohttp.ClientResponse:
        host = urlsplit(url).netloc
        name = self.endpoint.host if self._is_ours(url) else host
        timeouts = self._timeouts
        return await self._connections.session().request(
            method,
            URL(url, encoded=True),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **self._more, **headers},
            data=body() if callable(body) else body,
            allow_redirects=False,
            ssl=self._connections.context(name, self.endpoint.insecure),
            proxy=proxy_for(url),
            read_bufsize=_BUFFER,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=timeouts.connect, sock_read=timeouts.stall, ceil_threshold=60
            ),
        )

    async def _exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        """For the authorizer: a token server's answer. Its redirects are not followed."""
        what = f"get a token for {self.endpoint.host}"
        attempt = 0
        while True:
            retry_after = None
            try:
                response = await self._connections.session().request(
                    method,
                    URL(url, encoded=True),
                    headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
                    data=form,
                    allow_redirects=False,
                    ssl=self._connections.context(urlsplit(url).netloc, self.endpoint.insecure),
                    proxy=proxy_for(url),
                    timeout=aiohttp.ClientTimeout(total=self._timeouts.stall),
                )
                async with response:
                    retry_after = response.headers.get("Retry-After")
                    body = await self.read(response, 1 << 20, what)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                status, body = 0, b""
                failure = self._failure(error, what, host=urlsplit(url).netloc)
                final = isinstance(error, aiohttp.ClientSSLError) or attempt + 1 >= _QUICK
            else:
                status, final = response.status, response.status not in RETRIED
            delay = None if final else self.retry.delay(attempt, retry_after)
            if delay is None:
                if not status:
                    raise failure
                return status, body
            await asyncio.sleep(delay)
            attempt += 1

    # -- failures

    async def _refusal(
        self, response: aiohttp.ClientResponse, what: str, retry_after: str | None
    ) -> CortenError:
        try:
            async with asyncio.timeout(min(10.0, self._timeouts.stall)):
                body = await response.content.read(_MAX_REFUSAL)
        except (aiohttp.ClientError, TimeoutError, OSError):
            body = b""
        response.close()
        host = self.endpoint.host if self._is_ours(str(response.url)) else response.url.authority
        return explain(response.status, body, what, host, hub=self._hub, retry_after=retry_after)

    def _failure(self, error: BaseException, what: str, *, host: str = "") -> CortenError:
        host = host or self.endpoint.host
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            return Unavailable(
                f"cannot {what}: the TLS certificate of {host} is not valid: {reason.rstrip('.')}: put its "
                f"CA into /etc/corten/certs.d/{host}/ca.crt, or say --tls-verify=false"
            )
        if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
            reason = getattr(getattr(error, "os_error", error), "reason", None) or str(error)
            return Unavailable(
                f"cannot {what}: no TLS with {host}: {str(reason).lower().replace('_', ' ')} (a registry "
                "without TLS has to be configured as insecure)"
            )
        if isinstance(error, TimeoutError):
            return Unavailable(f"cannot {what}: {host} sent nothing for {self._timeouts.stall:g} s")
        if isinstance(error, aiohttp.ClientConnectorError):
            return Unavailable(
                f"cannot {what}: cannot reach {host}: {error.os_error.strerror or error.os_error}"
            )
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return Unavailable(f"cannot {what}: the connection to {host} broke off: {reason}")


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
