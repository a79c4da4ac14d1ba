"""What the page knows of the metadata: its queries (`browsing.py`), on connections and threads of its own.

A search that takes a while holds up no push: with SQLite, all of those take turns in one thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from corten.registry.metadata import browsing
from corten.registry.metadata.browsing_records import (
    Facts,
    FoundRepository,
    ManifestRow,
    Payload,
    RepositoryDetails,
    TagRow,
)
from corten.registry.metadata.database import Database

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 2


class Browser:
    """Every method is a transaction of its own; see the functions of the same names for details. Errors:
    `Unavailable` when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(THREADS, "page")

    async def found_repositories(
        self, words: Sequence[str], after: tuple[int, str], limit: int
    ) -> list[FoundRepository]:
        return await self._read(browsing.found_repositories, words, after, limit)

    async def matching_words(
        self, names: Sequence[str], words: Sequence[str], limit: int
    ) -> list[tuple[str, str]]:
        return await self._read(browsing.matching_words, names, words, limit)

    async def repository_details(self, names: Sequence[str]) -> dict[str, RepositoryDetails]:
        return await self._read(browsing.repository_details, names)

    async def tag_rows(
        self, repository: str, word: str, after: tuple[int, str] | str | None, limit: int
    ) -> list[TagRow]:
        return await self._read(browsing.tag_rows, repository, word, after, limit)

    async def tag_count(self, repository: str) -> int:
        return await self._read(browsing.tag_count, repository)

    async def has_manifests(self, repository: str) -> bool:
        return await self._read(browsing.has_manifests, repository)

    async def manifest_rows(self, repository: str, digests: Sequence[str]) -> dict[str, ManifestRow]:
        return await self._read(browsing.manifest_rows, repository, digests)

    async def manifest_row(self, repository: str, digest: str) -> ManifestRow | None:
        """One manifest, with its payload."""
        return await self._read(_one_manifest, repository, digest)

    async def untagged_rows(self, repository: str, limit: int) -> list[ManifestRow]:
        return await self._read(browsing.untagged_rows, repository, limit)

    async def digest_of_tag(self, repository: str, tag: str) -> str | None:
        return await self._read(browsing.digest_of_tag, repository, tag)

    async def referrer_rows(self, repository: str, subjects: Sequence[str], limit: int) -> list[ManifestRow]:
        return await self._read(browsing.referrer_rows, repository, subjects, limit)

    async def tags_of(self, repository: str, digest: str, limit: int) -> list[str]:
        return await self._read(browsing.tags_of, repository, digest, limit)

    async def existing_tags(self, repository: str, names: Sequence[str]) -> list[str]:
        return await self._read(browsing.existing_tags, repository, names)

    async def indexes_of(self, repository: str, digest: str, limit: int) -> list[str]:
        return await self._read(browsing.indexes_of, repository, digest, limit)

    async def users_of_blobs(
        self, digests: Sequence[str], without: str, limit: int
    ) -> dict[str, list[tuple[str, str, str]]]:
        """`browsing.users_of_blob` of each."""
        return await self._read(_users_of_blobs, digests, without, limit)

    async def undescribed(self, limit: int) -> list[str]:
        return await self._read(browsing.undescribed, limit)

    async def undescribed_count(self) -> int:
        return await self._read(browsing.undescribed_count)

    async def payloads_of(self, digests: Sequence[str]) -> dict[str, Payload]:
        return await self._read(browsing.payloads_of, digests)

    async def blobs_in(self, repository: str, digests: Sequence[str]) -> dict[str, tuple[str, int]]:
        return await self._read(browsing.blobs_in, repository, digests)

    def blob_locations_now(self, digests: Sequence[str]) -> dict[str, tuple[str, int]]:
        """`browsing.blob_locations`, for a thread that may wait."""
        return self._database.read(browsing.blob_locations, digests)

    async def put_facts(self, found: Sequence[Facts], looked_at: Sequence[str]) -> None:
        await self._run(self._database.write_lightly, browsing.put_facts, found, looked_at)

    async def close(self) -> None:
        """Ends the threads and the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        self._database.close()

    async def _read(
        self, operation: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._run(self._database.read, operation, *args)

    async def _run(self, way: Callable[..., R], *args: Any) -> R:
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, way, *args))


def _one_manifest(connection: Connection, repository: str, digest: str) -> ManifestRow | None:
    return browsing.manifest_rows(connection, repository, [digest], payload=True).get(digest)


def _users_of_blobs(
    connection: Connection, digests: Sequence[str], without: str, limit: int
) -> dict[str, list[tuple[str, str, str]]]:
    return {digest: browsing.users_of_blob(connection, digest, without, limit) for digest in digests}
