"""The cache as handlers use it. Whether the caller may pull has been asked before."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Iterable, Sequence

import aiohttp

from corten.errors import InvalidArgument
from corten.image.registry.answer import RateLimited
from corten.registry.audit import Audit
from corten.registry.blobs.store import BlobStore
from corten.registry.config import Config, parse_address
from corten.registry.errors import Code, RegistryError
from corten.registry.metadata.records import Blob, Manifest, Missing, Referrer
from corten.registry.metadata.store import Metadata
from corten.registry.names import is_tag
from corten.registry.routing import Route
from corten.registry.uploads import Uploads
from corten.registry.upstream.blobs import Allows, Blobs
from corten.registry.upstream.client import Absent, Refused, UpstreamClient, UpstreamFailure
from corten.registry.upstream.eviction import Evictor, Uses
from corten.registry.upstream.fetch import Fetch
from corten.registry.upstream.hops import Hops, new_name
from corten.registry.upstream.limits import UNTOLD_SECONDS, Limits
from corten.registry.upstream.manifests import Manifests, warning_of
from corten.registry.upstream.naming import Naming, Place
from corten.registry.upstream.referrers import Referrers
from corten.registry.upstream.settings import listens_at, namespace_of, url_of
from corten.registry.upstream.turns import Turns

_LOG = logging.getLogger("corten.registry")
RETRY_SECONDS = "10"
TAGS_SECONDS = 60.0
"""How long a list of tags is not asked for again, by this process."""
REMEMBERED = 1000
TOLD_SECONDS = 60.0
"""A ring of caches is not complained about again in this time."""


class PullThrough:
    """The upstreams of one process. `start` in its event loop, before anything else."""

    def __init__(
        self, config: Config, metadata: Metadata, blobs: BlobStore, uploads: Uploads, audit: Audit
    ) -> None:
        self._config = config
        self._metadata = metadata
        self._naming = Naming(config.upstreams)
        self._ttl = {name: found.tag_ttl_seconds for name, found in config.upstreams.items()}
        self._session: aiohttp.ClientSession | None = None
        self._clients: dict[str, UpstreamClient] = {}
        self._turns = Turns(metadata)
        self._name = ""
        self._told: dict[str, float] = {}
        references = config.limits.manifest_references
        self._manifests = Manifests(metadata, self._turns, references)
        self._referrers = Referrers(metadata, self._turns)
        grace = config.collection.grace_seconds
        self._blobs = Blobs(
            metadata, blobs, uploads, self._turns, references=references, grace=int(grace * 1000)
        )
        self._uses = Uses(metadata)
        interval = config.collection.interval_seconds
        self.evictor = Evictor(metadata, self._uses, audit, config.cache, interval, grace)
        self._tags: dict[str, tuple[float, list[str]]] = {}
        self._evicting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens what needs the event loop. InvalidArgument: secrets or certificates cannot be read."""
        self._name = await self._metadata.instance_name(new_name())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=64 << 10,
            max_field_size=64 << 10,
        )
        listening = {parse_address(text) for text in self._config.listen}
        for name, found in self._config.upstreams.items():
            if listens_at(url_of(name, found), listening):
                raise InvalidArgument(f"upstream {name!r}: {url_of(name, found)} is this registry itself")
            limits = Limits(self._metadata, namespace_of(name, found))
            client = UpstreamClient(name, found, limits, self._session)
            self._clients[name] = client.through(Hops(), self._name)
        self._evicting = asyncio.create_task(self.evictor.run())

    async def close(self) -> None:
        """Ends what is under way; what was stored stays."""
        if self._evicting is not None:
            self._evicting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._evicting
        await self._turns.close()
        await self._blobs.close()
        await self.evictor.close()
        if self._session is not None:
            await self._session.close()

    # -- what handlers ask

    def in_namespace(self, route: Route, namespace: str) -> Route:
        """What a request with `?ns=` is about; see `Naming`."""
        return self._naming.in_namespace(route, namespace)

    async def manifest(
        self, repository: str, reference: str, via: Iterable[str]
    ) -> tuple[Manifest | None, str]:
        """A manifest by a valid tag or digest, and the Warning that goes with it. None: it is not here, and
        no upstream is asked. RegistryError."""
        place = self._naming.place(repository)
        if place is None:
            return await self._metadata.manifest(repository, reference), ""
        client = self._client(place, via)
        if client is None:
            # What is a copy here may be a copy there of what nobody has: a tag has to be somebody's own.
            if ":" not in reference and await self._metadata.cached_tag(repository, reference) is not None:
                return None, ""
            return await self._metadata.manifest(repository, reference), ""
        warning = ""
        try:
            if ":" in reference:
                found = await self._manifests.by_digest(client, place.repository, repository, reference)
            else:
                found, warning = await self._manifests.by_tag(
                    client, place.repository, repository, reference, self._ttl[place.upstream]
                )
        except (Absent, RateLimited, UpstreamFailure) as error:
            detail = {"name": repository, "reference": reference}
            raise _told(error, Code.MANIFEST_UNKNOWN, detail) from error
        if found is not None:
            self._uses.note(repository, found.digest)
        return found, warning

    async def tags(self, repository: str, via: Iterable[str]) -> tuple[list[str], str]:
        """The tags that an upstream has beside those here, and the Warning that goes with what it did not
        tell. RegistryError: it did not tell, and there is nothing here either."""
        place = self._naming.place(repository)
        client = self._client(place, via) if place is not None else None
        if place is None or client is None:
            return [], ""
        until, names = self._tags.get(repository, (0.0, []))
        if until > time.monotonic():
            return names, ""
        try:
            names = [tag for tag in await client.tags(place.repository) if is_tag(tag)]
        except Absent:
            names = []
        except (RateLimited, UpstreamFailure) as error:
            if await self._metadata.has_repository(repository):
                return [], warning_of(f"these are the tags here alone: {error.message}")
            raise _told(error, Code.NAME_UNKNOWN, {"name": repository}) from error
        if len(self._tags) > REMEMBERED:
            self._tags.clear()
        ttl = min(TAGS_SECONDS, self._ttl[place.upstream])
        self._tags[repository] = (time.monotonic() + ttl, names)
        return names, ""

    async def referrers(
        self, repository: str, digest: str, via: Iterable[str]
    ) -> tuple[Sequence[Referrer], str]:
        """What refers to a manifest, here and at an upstream, and the Warning that goes with it.
        RegistryError: upstream did not tell, and nothing is known here either."""
        here = await self._metadata.referrers(repository, digest)
        place = self._naming.place(repository)
        if place is None:
            return here, ""
        pushed = [found for found in here if not found.is_copy]
        client = self._client(place, via)
        if client is None:
            return pushed, ""
        try:
            theirs, warning = await self._referrers.of(
                client, place.repository, repository, digest, self._ttl[place.upstream]
            )
        except (Absent, RateLimited, UpstreamFailure) as error:
            if here or isinstance(error, Refused) or await self._metadata.was_pushed(repository, digest):
                return here, warning_of(f"these are the referrers here alone: {error.message}")
            raise _told(error, Code.MANIFEST_UNKNOWN, {"name": repository, "digest": digest}) from error
        known = {found.digest for found in pushed}
        return [*pushed, *(found for found in theirs if found.digest not in known)], warning

    async def blob_size(self, repository: str, digest: str, via: Iterable[str]) -> int | None:
        """The size of a blob that can be fetched; None: it cannot."""
        place = self._naming.place(repository)
        if place is None or self._client(place, via) is None:
            return None
        wanted = await self._blobs.wanted(repository, digest)
        return wanted.size if wanted is not None else None

    async def blob(
        self, repository: str, digest: str, allows: Allows, via: Iterable[str], least: int = -1
    ) -> Blob | Fetch | None:
        """A blob that is not here and can be fetched: the stored blob, or a download with something to read
        (all of it, when it has at most `least` bytes). With -1 only the stored blob. RegistryError."""
        place = self._naming.place(repository)
        if place is None or (client := self._client(place, via)) is None:
            return None
        wanted = await self._blobs.wanted(repository, digest)
        if wanted is None:
            return None
        self._uses.note(repository, wanted.manifest)
        found = await self._blobs.get(client, place.repository, repository, wanted, allows)
        if isinstance(found, Blob):
            return found
        try:
            if least < 0:
                return await found.settled()
            await found.begun(least)
        except (Absent, RateLimited, UpstreamFailure) as error:
            raise _told(error, Code.BLOB_UNKNOWN, {"digest": digest}) from error
        return found.stored or found

    async def complete(
        self, repository: str, missing: Sequence[Missing], allows: Allows, via: Iterable[str]
    ) -> bool:
        """Fetches what a manifest that is being pushed needs of blobs which the client was told to be here.
        False: upstream has not all of it. RegistryError."""
        for entry in missing:
            if entry.size >= 0 or entry.reference.is_manifest:
                return False
            found = await self.blob(repository, entry.reference.digest, allows, via)
            if found is None:
                return False
        return True

    def _client(self, place: Place, via: Iterable[str]) -> UpstreamClient | None:
        """Who asks upstream for a request with the headers `via`. None: the request has come back to where
        it came from, and is answered as if upstream had nothing."""
        client, hops = self._clients[place.upstream], Hops.of(via)
        if not hops.comes_back(self._name):
            return client.through(hops, self._name) if hops.names else client
        now = time.monotonic()
        if self._told.get(place.upstream, 0.0) < now:
            self._told[place.upstream] = now + TOLD_SECONDS
            _LOG.warning(
                "upstream %r asks this registry for what it is asked for: they are caches of each other, or"
                " one has a copy of the other's database; such requests end here",
                place.upstream,
            )
        return None


def _told(error: Absent | RateLimited | UpstreamFailure, absent: Code, detail: object) -> RegistryError:
    """What a client is told of an upstream's failure: a 404 only where upstream has said so."""
    if isinstance(error, Absent):
        return RegistryError(absent, error.message, detail)
    if isinstance(error, RateLimited):
        seconds = UNTOLD_SECONDS if error.seconds is None else error.seconds
        return RegistryError(
            Code.TOOMANYREQUESTS, error.message, headers={"Retry-After": str(max(1, math.ceil(seconds)))}
        )
    return RegistryError(Code.UNAVAILABLE, error.message, status=502, headers={"Retry-After": RETRY_SECONDS})
