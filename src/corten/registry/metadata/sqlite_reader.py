"""The queries of a pull, straight on sqlite3, done in the event loop: 7 µs for a manifest by its tag.

Through SQLAlchemy it is thirty times that, and as much again for the way to a thread and back. The
statements are prepared once (sqlite3 keeps them); each sees what any process has committed before it began.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from corten.errors import Unavailable
from corten.registry.metadata.records import Blob, CachedTag, Manifest, Referrer

_BY_DIGEST = """\
SELECT m.digest, m.media_type, p.payload
FROM repositories r
JOIN manifests m ON m.repository = r.id AND m.digest = ?2
JOIN manifest_payloads p ON p.digest = m.digest
WHERE r.name = ?1"""
_BY_TAG = """\
SELECT m.digest, m.media_type, p.payload
FROM repositories r
JOIN tags t ON t.repository = r.id AND t.name = ?2
JOIN manifests m ON m.repository = r.id AND m.digest = t.manifest
JOIN manifest_payloads p ON p.digest = m.digest
WHERE r.name = ?1"""
_BLOB = """\
SELECT b.digest, b.size, b.location, l.touched
FROM repositories r
JOIN repository_blobs l ON l.repository = r.id AND l.digest = ?2
JOIN blobs b ON b.digest = l.digest
WHERE r.name = ?1"""
_HAS_BLOB = "SELECT 1 FROM blobs WHERE digest = ?1 AND location NOT LIKE 'lost/%'"
_TAGS = """\
SELECT name FROM tags
WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND name > ?2
ORDER BY name LIMIT ?3"""
_REPOSITORIES = """\
SELECT name FROM repositories r
WHERE name > ?1 AND EXISTS (SELECT 1 FROM manifests m WHERE m.repository = r.id)
ORDER BY name LIMIT ?2"""
_HAS_REPOSITORY = "SELECT 1 FROM repositories WHERE name = ?1"
_REFERRERS = """\
SELECT m.digest, m.media_type, m.artifact_type, m.size, m.annotations, c.digest IS NOT NULL
FROM manifests m
LEFT JOIN cached_manifests c ON c.repository = m.repository AND c.digest = m.digest
WHERE m.repository = (SELECT id FROM repositories WHERE name = ?1) AND m.subject = ?2
ORDER BY m.pushed, m.digest"""
_CACHED_TAG = """\
SELECT t.manifest, c.etag, c.checked
FROM repositories r
JOIN cached_tags c ON c.repository = r.id AND c.name = ?2
JOIN tags t ON t.repository = r.id AND t.name = ?2
WHERE r.name = ?1"""
_LEASE = "SELECT holder, until FROM leases WHERE name = ?1"


class SqliteReader:
    """One read-only connection; of one thread."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(
            path, timeout=5, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        self._connection.execute("PRAGMA query_only=ON")
        self._connection.execute("PRAGMA mmap_size=268435456")

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """By tag, or by digest (which has a colon)."""
        row = self._one(_BY_DIGEST if ":" in reference else _BY_TAG, repository, reference)
        return Manifest(*row) if row is not None else None

    def blob(self, repository: str, digest: str) -> tuple[Blob, int] | None:
        """See `listing.blob`."""
        row = self._one(_BLOB, repository, digest)
        return (Blob(row[0], row[1], row[2]), row[3]) if row is not None else None

    def has_blob(self, digest: str) -> bool:
        """See `linking.has_blob`."""
        return self._one(_HAS_BLOB, digest) is not None

    def tag_names(self, repository: str, after: str, limit: int) -> list[str]:
        """See `listing.tag_names`."""
        return [row[0] for row in self._all(_TAGS, repository, after, limit)]

    def has_repository(self, repository: str) -> bool:
        """See `listing.has_repository`."""
        return self._one(_HAS_REPOSITORY, repository) is not None

    def repository_names(self, after: str, limit: int) -> list[str]:
        """See `listing.repository_names`."""
        return [row[0] for row in self._all(_REPOSITORIES, after, limit)]

    def referrers(self, repository: str, subject: str) -> list[Referrer]:
        """See `listing.referrers`."""
        rows = self._all(_REFERRERS, repository, subject)
        return [
            Referrer(digest, media_type, artifact_type, size, annotations, bool(copied))
            for digest, media_type, artifact_type, size, annotations, copied in rows
        ]

    def cached_tag(self, repository: str, tag: str) -> CachedTag | None:
        """See `upstreams.cached_tag`."""
        row = self._one(_CACHED_TAG, repository, tag)
        return CachedTag(*row) if row is not None else None

    def lease(self, name: str) -> tuple[str, int] | None:
        """See `upstreams.lease`."""
        row = self._one(_LEASE, name)
        return (row[0], row[1]) if row is not None else None

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _one(self, query: str, *arguments: str | int) -> Any:
        rows = self._all(query, *arguments)
        return rows[0] if rows else None

    def _all(self, query: str, *arguments: str | int) -> list[Any]:
        try:
            return self._connection.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the registry's database does not answer: {error}") from error
