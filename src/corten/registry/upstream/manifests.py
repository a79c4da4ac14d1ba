"""Manifests of upstreams: from here while they are fresh, checked again by HEAD, fetched, and stale where
nothing better is to be had."""

from __future__ import annotations

import logging
import time

from corten.errors import CortenError
from corten.image.registry.answer import RateLimited
from corten.registry.errors import RegistryError
from corten.registry.manifest import read_manifest
from corten.registry.metadata.records import CachedTag, Manifest
from corten.registry.metadata.store import Metadata
from corten.registry.upstream.client import Absent, Refused, UpstreamClient, UpstreamFailure
from corten.registry.upstream.turns import Turns

_LOG = logging.getLogger("corten.registry")
ABSENT_SECONDS = 10.0
"""What an upstream does not have is not asked for again in this time, by this process."""
_REMEMBERED = 10_000


class Manifests:
    """What upstreams have, by the names of this registry."""

    def __init__(self, metadata: Metadata, turns: Turns, references: int) -> None:
        self._metadata = metadata
        self._turns = turns
        self._references = references
        self._absent: dict[tuple[str, str], tuple[float, str]] = {}

    async def by_digest(
        self, client: UpstreamClient, remote: str, repository: str, digest: str
    ) -> Manifest | None:
        """A manifest, which never changes."""
        found = await self._metadata.manifest(repository, digest)
        if found is None:
            await self._fetch(client, remote, repository, digest)
            found = await self._metadata.manifest(repository, digest)
        return found

    async def by_tag(
        self, client: UpstreamClient, remote: str, repository: str, tag: str, ttl: float
    ) -> tuple[Manifest | None, str]:
        """What a tag is, and what has to be said about it ("": nothing). A tag that was pushed here is what
        it was pushed as."""
        found = await self._metadata.manifest(repository, tag)
        if found is None:
            await self._fetch(client, remote, repository, tag)
            return await self._metadata.manifest(repository, tag), ""
        known = await self._metadata.cached_tag(repository, tag)
        if known is None or time.time() * 1000 - known.checked < ttl * 1000:
            return found, ""
        try:
            await self._check(client, remote, repository, tag, known)
        except (RateLimited, UpstreamFailure, Refused) as error:
            _LOG.warning("%s:%s is handed out stale: %s", repository, tag, error.message)
            return found, stale("this tag was", known.checked, error)
        return await self._metadata.manifest(repository, tag), ""

    async def _fetch(self, client: UpstreamClient, remote: str, repository: str, reference: str) -> None:
        until, reason = self._absent.get((repository, reference), (0.0, ""))
        if until > time.monotonic():
            raise Absent(reason)

        async def is_done() -> bool:
            return await self._metadata.manifest(repository, reference) is not None

        async def work() -> None:
            await self._store(client, remote, repository, reference)

        await self._turns.share(f"upstream:{repository}@{reference}", work, is_done, alone=client.is_behind)

    async def _store(self, client: UpstreamClient, remote: str, repository: str, reference: str) -> None:
        try:
            received = await client.manifest(remote, reference)
        except Absent as error:
            if len(self._absent) > _REMEMBERED:
                self._absent.clear()
            self._absent[repository, reference] = (time.monotonic() + ABSENT_SECONDS, error.message)
            raise
        try:
            manifest = read_manifest(received.data, received.media_type, received.digest, self._references)
        except RegistryError as error:
            raise UpstreamFailure(f"{client.name} sent for {remote}: {error.message}") from error
        tag = "" if ":" in reference else reference
        await self._metadata.put_cached_manifest(repository, manifest, client.name, tag, received.etag)

    async def _check(
        self, client: UpstreamClient, remote: str, repository: str, tag: str, known: CachedTag
    ) -> None:
        async def is_done() -> bool:
            now = await self._metadata.cached_tag(repository, tag)
            return now is None or now.checked > known.checked

        async def work() -> None:
            try:
                async with client.checking():
                    await self._renew(client, remote, repository, tag, known)
            except Refused:
                raise
            except Absent:
                await self._metadata.drop_cached_tag(repository, tag)
                raise

        await self._turns.share(f"upstream:{repository}@{tag}", work, is_done, alone=client.is_behind)

    async def _renew(
        self, client: UpstreamClient, remote: str, repository: str, tag: str, known: CachedTag
    ) -> None:
        digest = await client.look(remote, tag, known.etag, known.digest)
        if digest == known.digest:
            await self._metadata.confirm_cached_tag(repository, tag, digest)
        else:
            await self._store(client, remote, repository, tag)


def stale(what: str, checked: int, error: CortenError) -> str:
    """The Warning for a copy that could not be `checked` again since."""
    minutes = max(0, int(time.time() - checked / 1000)) // 60
    return warning_of(f"{what} last checked {minutes} minutes ago: {error.message}")


def warning_of(text: str) -> str:
    """The Warning header's value (distribution-spec, "Warnings")."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text[:400])
    return '299 - "' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'
