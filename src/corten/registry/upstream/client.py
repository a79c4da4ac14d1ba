"""Requests to one upstream, by the project's own registry client. The hosts come from the configuration;
where an upstream redirects to another host, credentials do not go along (`Transport`)."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy

from corten.errors import CortenError, Denied, InvalidArgument, NotFound, Unavailable
from corten.image.registry.answer import RateLimited
from corten.image.registry.client import RegistryClient
from corten.image.registry.credentials import Basic, Credential, RegistryToken
from corten.image.registry.endpoint import Endpoint
from corten.image.registry.manifest_check import ACCEPT, check_manifest
from corten.image.registry.retry import RetryPolicy, Timeouts
from corten.image.registry.tls import context_for
from corten.image.registry.transport import Answer, Connections, Transport
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, is_digest
from corten.oci.manifest import MAX_MANIFEST_BYTES
from corten.registry.upstream.hops import Hops
from corten.registry.upstream.limits import ALL, MANIFESTS, Limits, Paused
from corten.registry.upstream.settings import Upstream, is_hub, namespace_of, url_of

_LOG = logging.getLogger("corten.registry")
# A Retry-After is not waited for: it is written down, and others are told.
_RETRY = RetryPolicy(attempts=4, base=0.3, cap=3.0, longest=0.0)
_TIMEOUTS = Timeouts(connect=10.0, stall=30.0)
_AGAIN_SECONDS = 0.3
CHECK_SECONDS = 5.0
"""A check may take so long; then the copy is handed out as it is."""


class UpstreamFailure(Unavailable):
    """An upstream does not answer, or answers with what nobody can use."""


class Absent(NotFound):
    """An upstream has none such, or does not hand it out to this registry."""


class Refused(Absent):
    """An upstream wants other credentials; or has none such, and does not tell."""


class Received(NamedTuple):
    """A manifest, verified against the digest that was asked for or told; `etag` as it came."""

    digest: str
    media_type: str
    data: bytes
    etag: str


class UpstreamClient:
    """One upstream. Errors: `Absent`, `RateLimited`, `UpstreamFailure`."""

    def __init__(self, name: str, settings: Upstream, limits: Limits, session: aiohttp.ClientSession) -> None:
        self.name = namespace_of(name, settings)
        self.limits = limits
        self.slots = asyncio.Semaphore(settings.blobs_at_once)
        self._settings = settings
        url = url_of(name, settings)
        context = _context(self.name, settings)
        connections = Connections(lambda: session, lambda _host, _insecure: context, _RETRY, _TIMEOUTS)
        endpoint = Endpoint(urlsplit(url).netloc, url, insecure=url.startswith("http://"))
        self._transport = Transport(endpoint, connections, self._credential, hub=is_hub(url))
        self._client = RegistryClient(self.name, [self._transport])
        self.is_behind = False
        read_secret(self._settings)  # a registry that starts has what it needs

    def through(self, hops: Hops, own: str) -> UpstreamClient:
        """The same upstream, for a request that has come through other caches (`is_behind`) to `own`."""
        found = copy.copy(self)
        found._transport = self._transport.with_headers({"Via": hops.via(own)})
        found._client = RegistryClient(self.name, [found._transport])
        found.is_behind = bool(hops.names)
        return found

    @contextlib.asynccontextmanager
    async def checking(self) -> AsyncIterator[None]:
        """Around requests whose answer a copy can stand in for: they may not take long, and where there was
        none a moment ago it is not asked for. UpstreamFailure."""
        if await self.limits.skips_checks():
            raise UpstreamFailure(f"{self.name} did not answer a moment ago")
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                yield
        except TimeoutError:
            reason = f"{self.name} did not answer within {CHECK_SECONDS:g} s"
            await self.limits.down(reason)
            raise UpstreamFailure(reason) from None
        except UpstreamFailure as error:
            await self.limits.down(error.message)
            raise

    async def _credential(self) -> Credential | None:
        return await asyncio.to_thread(read_secret, self._settings)

    async def look(self, repository: str, tag: str, etag: str, digest: str) -> str | None:
        """The digest of a tag now: `digest`, when nothing has changed; None when only GET tells."""
        what = f"look up {self.name}/{repository}:{tag}"
        headers = {"Accept": ACCEPT, "If-None-Match": etag or f'"{digest}"'}
        async with self._failures(what):
            await self.limits.check(MANIFESTS)
            answer = await self._call("HEAD", f"/v2/{repository}/manifests/{tag}", repository, what, headers)
        await self.limits.observe(answer.headers)
        if answer.status == 304:
            return digest
        if answer.status != 200:
            return None
        told = answer.headers.get("Docker-Content-Digest", "")
        return told if is_digest(told) else None

    async def manifest(self, repository: str, reference: str) -> Received:
        """A manifest by its tag or digest."""
        joint = "@" if is_digest(reference) else ":"
        what = f"fetch {self.name}/{repository}{joint}{reference}"
        async with self._failures(what):
            await self.limits.check(MANIFESTS)
            path = f"/v2/{repository}/manifests/{reference}"
            answer = await self._call("GET", path, repository, what, {"Accept": ACCEPT})
            await self.limits.observe(answer.headers)
            found = check_manifest(
                reference, answer.headers, answer.body, what, self._transport.endpoint.host
            )
        descriptor = found.descriptor
        return Received(descriptor.digest, descriptor.media_type, found.data, _etag(answer.headers))

    async def blob(self, repository: str, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """The bytes of a blob, not verified; at most as many as the descriptor says. A connection that
        breaks is taken up again where it broke (Range)."""
        async with self._failures(f"fetch {descriptor.digest} of {self.name}/{repository}"):
            await self.limits.check(ALL)
            async for piece in self._client.blob(repository, descriptor):
                yield piece

    async def tags(self, repository: str) -> list[str]:
        """The tags that it has."""
        async with self._failures(f"list the tags of {self.name}/{repository}"):
            await self.limits.check(ALL)
            return await self._client.tags(repository)

    async def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        """What refers to a manifest, by the referrers API, or the referrers tag where that is missing."""
        async with self._failures(f"list what refers to {self.name}/{repository}@{digest}"):
            await self.limits.check(MANIFESTS)
            return await self._client.referrers(repository, Digest(digest))

    async def _call(
        self, method: str, path: str, repository: str, what: str, headers: dict[str, str]
    ) -> Answer:
        """One request, twice where the first does not come through."""
        accept = (200, 304, 405, 501) if method == "HEAD" else (200,)
        for last in (False, True):
            try:
                return await self._transport.call(
                    method,
                    path,
                    what=what,
                    scopes=(f"repository:{repository}:pull",),
                    headers=headers,
                    accept=accept,
                    limit=MAX_MANIFEST_BYTES,
                    retry=False,
                )
            except RateLimited:
                raise
            except Unavailable:
                if last:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _failures(self, what: str) -> AsyncIterator[None]:
        try:
            yield
        except (Paused, UpstreamFailure):
            raise
        except RateLimited as error:
            await self.limits.hit(error)
            raise
        except NotFound as error:
            raise Absent(f"cannot {what}: {self.name} has none such") from error
        except Denied as error:
            _LOG.warning("upstream %s: %s", self.name, error.message)
            raise Refused(
                f"cannot {what}: {self.name} does not hand it out to this registry, or has none such"
            ) from error
        except CortenError as error:
            raise UpstreamFailure(error.message) from error


def read_secret(settings: Upstream) -> Credential | None:
    """Who this registry is to an upstream. Read anew for each token, so that a file may be renewed.
    InvalidArgument."""
    path = settings.token_file or settings.password_file
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            secret = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is not text"
        raise InvalidArgument(f"cannot read the upstream's secret in {path}: {reason}") from error
    if not secret:
        raise InvalidArgument(f"cannot read the upstream's secret in {path}: it is empty")
    return RegistryToken(secret) if settings.token_file else Basic(settings.username, secret)


def _context(name: str, settings: Upstream) -> ssl.SSLContext:
    """Certificates are always verified."""
    context = context_for("", (), insecure=False)
    if settings.ca_file:
        try:
            context.load_verify_locations(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", "") or str(error)
            raise InvalidArgument(
                f"upstream {name!r}: cannot read the certificates in {settings.ca_file}: {reason}"
            ) from error
    return context


def _etag(headers: CIMultiDictProxy[str]) -> str:
    etag = headers.get("ETag", "")
    return etag if len(etag) <= 300 and etag.isascii() and etag.isprintable() else ""
