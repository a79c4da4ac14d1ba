"""The distribution-spec 1.1 client: manifests, blobs, uploads, tags, referrers of one registry."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, TypeVar
from urllib.parse import quote, urljoin

import aiohttp
import msgspec

from corten.errors import CortenError, IntegrityError, NotFound
from corten.image.registry.blob_reader import BlobReader
from corten.image.registry.config import RegistryConfig
from corten.image.registry.credentials import Credential, Credentials
from corten.image.registry.manifest_check import ACCEPT, Fetched, check_manifest
from corten.image.registry.retry import RetryPolicy, Timeouts
from corten.image.registry.tls import context_for
from corten.image.registry.transport import Answer, Connections, Transport
from corten.image.registry.upload import Uploader
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest, algorithm_of, hex_of, is_digest, parse_digest, sha256_of
from corten.oci.manifest import INDEX_TYPES, MAX_MANIFEST_BYTES, OCI_INDEX, decode_index

__all__ = ["Fetched", "Registries", "RegistryClient"]

_T = TypeVar("_T")
_NEXT = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?")
_MAX_PAGES = 10_000
_HUB = "docker.io"
MAX_REFERRERS_BYTES = 4 * MAX_MANIFEST_BYTES
"""What refers to one manifest may take so much, in all its pages."""


class Registries:
    """All registries of one engine (or one command): connections, tokens, credentials and configuration.

    An asynchronous context manager; one per event loop. `client(domain)` is cheap and remembers its tokens.
    """

    def __init__(
        self,
        *,
        config: RegistryConfig | None = None,
        credentials: Credentials | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._config = config if config is not None else RegistryConfig.load()
        self._credentials = credentials if credentials is not None else Credentials()
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._clients: dict[tuple[str, Credential | None, bool], RegistryClient] = {}
        self._connections = Connections(
            self._open_session, self._context, retry or RetryPolicy(), timeouts or Timeouts()
        )

    def client(
        self, domain: str, *, auth: Credential | None = None, insecure: bool = False
    ) -> RegistryClient:
        """The client of `Reference.domain`. `auth` overrides what is configured (X-Registry-Auth of the
        API); `insecure` is --tls-verify=false."""
        key = (domain, auth, insecure)
        client = self._clients.get(key)
        if client is None:
            if len(self._clients) > 100:
                self._clients.clear()
            client = self._clients[key] = RegistryClient(domain, self._transports(domain, auth, insecure))
        return client

    async def close(self) -> None:
        """Closes the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Registries:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _transports(self, domain: str, auth: Credential | None, insecure: bool) -> list[Transport]:
        transports = []
        for endpoint in self._config.endpoints(domain, insecure=insecure):

            async def credential(
                host: str = endpoint.host, mirror: bool = endpoint.mirror
            ) -> Credential | None:
                if auth is not None and not mirror:
                    return auth
                return await asyncio.to_thread(self._credentials.lookup, host)

            transports.append(
                Transport(endpoint, self._connections, credential, hub=domain == _HUB and not endpoint.mirror)
            )
        return transports

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=64, limit_per_host=16),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=64 << 10,
                max_field_size=64 << 10,
            )
        return self._session

    def _context(self, host: str, insecure: bool) -> ssl.SSLContext:
        context = self._contexts.get((host, insecure))
        if context is None:
            if len(self._contexts) > 100:
                self._contexts.clear()
            context = context_for(host, self._config.certs_dirs, insecure=insecure)
            self._contexts[host, insecure] = context
        return context


class RegistryClient:
    """One registry. `repository` is a reference's path (`library/busybox`), `reference` a tag or digest.

    Errors: NotFound, Denied (401, 403), Unavailable (network, 5xx, rate limits), IntegrityError (what lies).
    """

    def __init__(self, domain: str, transports: list[Transport]) -> None:
        self.domain = domain
        self._transports = transports
        self._origin = transports[-1]

    @property
    def origin(self) -> RegistryClient:
        """The registry itself, without its mirrors."""
        return RegistryClient(self.domain, self._transports[-1:])

    @property
    def has_mirrors(self) -> bool:
        """Whether mirrors are asked before the registry itself."""
        return len(self._transports) > 1

    # -- pulling: mirrors first

    async def manifest(self, repository: str, reference: str) -> Fetched:
        """A manifest or index, verified, at most 4 MiB."""
        what = f"pull {self._name(repository, reference)}"

        async def fetch(transport: Transport) -> Fetched:
            answer = await transport.call(
                "GET",
                _manifest_path(repository, reference),
                what=what,
                scopes=(_pull_scope(repository),),
                headers={"Accept": ACCEPT},
                limit=MAX_MANIFEST_BYTES,
            )
            return check_manifest(reference, answer.headers, answer.body, what, transport.endpoint.host)

        return await self._first(fetch)

    async def manifest_descriptor(self, repository: str, reference: str) -> Descriptor | None:
        """What HEAD says of a manifest; None when there is none."""

        async def look(transport: Transport) -> Answer:
            return await transport.call(
                "HEAD",
                _manifest_path(repository, reference),
                what=f"look up {self._name(repository, reference)}",
                scopes=(_pull_scope(repository),),
                headers={"Accept": ACCEPT},
            )

        try:
            answer = await self._first(look)
        except NotFound:
            return None
        digest = answer.headers.get("Docker-Content-Digest", "")
        length = answer.headers.get("Content-Length", "")
        if not is_digest(digest) or not length.isdecimal():
            return (await self.manifest(repository, reference)).descriptor
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return Descriptor(kind, Digest(digest), int(length))

    def blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a blob from `offset` on; a broken connection is resumed. NOT verified: the reader
        hashes. IntegrityError for a body that is longer than the descriptor."""
        path = f"/v2/{repository}/blobs/{parse_digest(descriptor.digest)}"
        return BlobReader(self._transports, path, _pull_scope(repository), descriptor).read(offset)

    async def read_blob(self, repository: str, descriptor: Descriptor, *, limit: int = 8 << 20) -> bytes:
        """A small blob (a config), verified."""
        if descriptor.size > limit:
            raise IntegrityError(
                f"blob {descriptor.digest} of {self.domain}/{repository} has {descriptor.size} bytes: at "
                f"most {limit} are allowed"
            )
        data = b"".join([piece async for piece in self.blob(repository, descriptor)])
        found = hashlib.new(algorithm_of(descriptor.digest), data).hexdigest()
        if found != hex_of(descriptor.digest):
            raise IntegrityError(
                f"digest mismatch: {self.domain} sent {algorithm_of(descriptor.digest)}:{found} for blob "
                f"{descriptor.digest} of {repository}"
            )
        return data

    # -- pushing: the registry itself

    async def blob_exists(self, repository: str, digest: Digest) -> bool:
        """Whether a repository has a blob."""
        answer = await self._origin.call(
            "HEAD",
            f"/v2/{repository}/blobs/{digest}",
            what=f"look for blob {digest} in {self.domain}/{repository}",
            scopes=(_push_scope(repository),),
            accept=(200, 404),
        )
        return answer.status == 200

    async def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        """Cross-repository mount; False when the registry wants the bytes instead."""
        return await Uploader(self._origin, repository).mount(digest, source)

    async def upload_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        read: Callable[[int], AsyncIterator[bytes]],
        *,
        mount_from: str = "",
        chunk_size: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> bool:
        """Uploads a blob, monolithic, or in chunks of `chunk_size` bytes. `read(offset)` iterates over its
        bytes from there on (asked again for a retry). False when it was mounted and nothing was sent."""
        uploader = Uploader(self._origin, repository)
        return await uploader.upload(
            descriptor, read, mount_from=mount_from, chunk_size=chunk_size, progress=progress
        )

    async def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> Digest:
        """Stores a manifest or index under a tag or digest."""
        answer = await self._origin.call(
            "PUT",
            _manifest_path(repository, reference),
            what=f"push {self._name(repository, reference)}",
            scopes=(_push_scope(repository),),
            headers={"Content-Type": media_type},
            body=data,
            accept=(201, 200, 202),
        )
        digest = Digest(reference) if is_digest(reference) else sha256_of(data)
        stored = answer.headers.get("Docker-Content-Digest", "")
        if stored and algorithm_of(stored) == algorithm_of(digest) and stored != digest:
            raise IntegrityError(f"{self.domain} stored the manifest {digest} as {stored[:200]}")
        return digest

    async def delete_manifest(self, repository: str, reference: str) -> None:
        """Deletes a tag or a manifest."""
        await self._origin.call(
            "DELETE",
            _manifest_path(repository, reference),
            what=f"delete {self._name(repository, reference)}",
            scopes=(f"repository:{repository}:delete",),
            accept=(202, 200, 204),
        )

    # -- lists

    async def tags(self, repository: str) -> list[str]:
        """All tags, page by page."""
        what = f"list the tags of {self.domain}/{repository}"
        path = f"/v2/{repository}/tags/list?n=1000"
        return await self._first(
            lambda transport: self._pages(transport, path, "tags", what, (_pull_scope(repository),))
        )

    async def referrers(
        self, repository: str, digest: Digest, *, artifact_type: str = ""
    ) -> list[Descriptor]:
        """What refers to a manifest (signatures, SBOMs); by the referrers tag where the API is missing."""
        found = await self._listed_referrers(repository, digest, artifact_type)
        if found is None:
            try:
                tagged = await self.manifest(repository, _referrers_tag(digest))
            except NotFound:
                return []
            known = tagged.descriptor.media_type in INDEX_TYPES
            found = list(decode_index(tagged.data).manifests) if known else []
        return [item for item in found if not artifact_type or item.artifact_type == artifact_type]

    async def _listed_referrers(
        self, repository: str, digest: Digest, artifact_type: str
    ) -> list[Descriptor] | None:
        """What the referrers API says, page by page; None where a registry has none."""
        what = f"list what refers to {self._name(repository, digest)}"
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        target = f"/v2/{repository}/referrers/{digest}{query}"
        found: dict[str, Descriptor] = {}
        size = 0
        while True:
            answer = await self._origin.call(
                "GET",
                target,
                what=what,
                scopes=(_pull_scope(repository),),
                headers={"Accept": OCI_INDEX},
                accept=(200,) if found else (200, 404, 400, 405),
            )
            if answer.status != 200 or not answer.headers.get("Content-Type", "").startswith(OCI_INDEX):
                return None
            before = len(found)
            found.update((item.digest, item) for item in decode_index(answer.body).manifests)
            size += len(answer.body)
            if size > MAX_REFERRERS_BYTES:
                raise IntegrityError(
                    f"cannot {what}: {self.domain} answers with more than {MAX_REFERRERS_BYTES} bytes"
                )
            link = _NEXT.search(answer.headers.get("Link", ""))
            if link is None or len(found) == before:
                return list(found.values())
            target = urljoin(answer.url, link[1])

    async def catalog(self) -> list[str]:
        """All repositories, where the registry tells."""
        what = f"list the repositories of {self.domain}"
        return await self._pages(
            self._origin, "/v2/_catalog?n=1000", "repositories", what, ("registry:catalog:*",)
        )

    async def get(self, target: str, *, what: str, accept: Collection[int] = (200,)) -> Answer:
        """An answer outside the distribution-spec (`/v1/search`); `target` is a path or a URL."""
        return await self._origin.call("GET", target, what=what, accept=accept)

    async def ping(self) -> None:
        """Raises unless a registry answers and lets us in."""
        await self._origin.call("GET", "/v2/", what=f"reach the registry {self.domain}")

    async def login(self) -> str:
        """Checks this client's `auth`; returns an identity token when the registry gave one, else ""."""
        return await self._origin.login()

    # -- the inside

    async def _first(self, operation: Callable[[Transport], Awaitable[_T]]) -> _T:
        """What the first endpoint that can says; a mirror that fails in whatever way is passed over."""
        for transport in self._transports[:-1]:
            try:
                return await operation(transport)
            except CortenError:
                continue
        return await operation(self._origin)

    async def _pages(
        self, transport: Transport, path: str, key: str, what: str, scopes: tuple[str, ...]
    ) -> list[str]:
        result: dict[str, None] = {}
        target = path
        for _ in range(_MAX_PAGES):
            answer = await transport.call("GET", target, what=what, scopes=scopes)
            names = _names(answer, key, what)
            before = len(result)
            result.update(dict.fromkeys(names))
            link = _NEXT.search(answer.headers.get("Link", ""))
            if link is None or len(result) == before:
                break
            target = urljoin(answer.url, link[1])
        return list(result)

    def _name(self, repository: str, reference: str) -> str:
        return f"{self.domain}/{repository}{'@' if is_digest(reference) else ':'}{reference}"


def _names(answer: Answer, key: str, what: str) -> list[str]:
    try:
        document: dict[str, Any] = msgspec.json.decode(answer.body, type=dict[str, Any])
        return msgspec.convert(document.get(key) or [], list[str])
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"cannot {what}: the registry did not answer with a list") from error


def _manifest_path(repository: str, reference: str) -> str:
    return f"/v2/{repository}/manifests/{quote(reference, safe=':')}"


def _referrers_tag(digest: Digest) -> str:
    """distribution-spec, "Referrers Tag Schema".

    >>> _referrers_tag(Digest("sha512:" + 128 * "a")) == "sha512-" + 64 * "a"
    True
    """
    return f"{algorithm_of(digest)[:32]}-{hex_of(digest)[:64]}"


def _pull_scope(repository: str) -> str:
    return f"repository:{repository}:pull"


def _push_scope(repository: str) -> str:
    return f"repository:{repository}:pull,push"
