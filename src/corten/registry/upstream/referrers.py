"""What upstreams know of the manifests that refer to another (signatures, SBOMs): asked for as a whole, kept,
and stale where nothing better is to be had. The manifests themselves come when they are asked for."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence

import msgspec

from corten.image.registry.answer import RateLimited
from corten.oci.descriptor import Descriptor
from corten.registry.metadata.records import CachedReferrers, Referrer
from corten.registry.metadata.store import Metadata
from corten.registry.names import is_supported_digest
from corten.registry.upstream.client import Refused, UpstreamClient, UpstreamFailure
from corten.registry.upstream.manifests import stale
from corten.registry.upstream.turns import Turns

_LOG = logging.getLogger("corten.registry")


class Referrers:
    """What upstreams have said, by the names of this registry."""

    def __init__(self, metadata: Metadata, turns: Turns) -> None:
        self._metadata = metadata
        self._turns = turns

    async def of(
        self, client: UpstreamClient, remote: str, repository: str, digest: str, ttl: float
    ) -> tuple[Sequence[Referrer], str]:
        """What refers to a manifest at upstream, and what has to be said about it ("": nothing)."""
        known = await self._metadata.cached_referrers(repository, digest)
        if known is not None and time.time() * 1000 - known.checked < ttl * 1000:
            return known.found, ""
        try:
            return await self._renew(client, remote, repository, digest, known), ""
        except (RateLimited, UpstreamFailure, Refused) as error:
            if known is None:
                raise
            _LOG.warning("referrers of %s@%s are told stale: %s", repository, digest, error.message)
            return known.found, stale("these referrers were", known.checked, error)

    async def _renew(
        self,
        client: UpstreamClient,
        remote: str,
        repository: str,
        digest: str,
        known: CachedReferrers | None,
    ) -> Sequence[Referrer]:
        asked: Sequence[Referrer] | None = None

        async def is_done() -> bool:
            now = await self._metadata.cached_referrers(repository, digest)
            return now is not None and (known is None or now.checked > known.checked)

        async def work() -> None:
            nonlocal asked
            async with client.checking() if known is not None else contextlib.nullcontext():
                asked = await self._ask(client, remote, repository, digest)

        name = f"upstream:{repository}@{digest} referrers"
        await self._turns.share(name, work, is_done, alone=client.is_behind)
        if asked is not None:
            return asked
        now = await self._metadata.cached_referrers(repository, digest)
        # Nothing is kept of what refers to a manifest that is not here (any more).
        return now.found if now is not None else await self._ask(client, remote, repository, digest)

    async def _ask(
        self, client: UpstreamClient, remote: str, repository: str, digest: str
    ) -> Sequence[Referrer]:
        found = [
            _referrer(item)
            for item in await client.referrers(remote, digest)
            if is_supported_digest(item.digest) and 0 <= item.size < 1 << 63
        ]
        await self._metadata.put_cached_referrers(repository, digest, found)
        return found


def _referrer(item: Descriptor) -> Referrer:
    annotations = msgspec.json.encode(item.annotations).decode() if item.annotations else ""
    return Referrer(item.digest, item.media_type, item.artifact_type or "", item.size, annotations)
