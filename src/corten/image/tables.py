"""The image tables in SQLite: images, their tags and their digests. Only statements; rules are elsewhere.

Heavy work runs in threads while the engine's event loop uses its own connection: this module opens a second
one to the same file (WAL lets both work), so that no transaction of one can swallow a statement of the other.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from corten.errors import NotFound

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id TEXT PRIMARY KEY,
    manifest BLOB NOT NULL,
    layers BLOB NOT NULL,
    config BLOB NOT NULL,
    chain TEXT NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    parent TEXT NOT NULL DEFAULT '',
    last_tagged INTEGER NOT NULL DEFAULT 0,
    hidden INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS image_tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    image TEXT NOT NULL,
    target BLOB NOT NULL,
    PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS image_tags_image ON image_tags (image);
CREATE TABLE IF NOT EXISTS image_digests (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    image TEXT NOT NULL,
    target BLOB NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS image_digests_image ON image_digests (image);
CREATE TABLE IF NOT EXISTS image_used (image TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS image_kept (key TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blob_variants (
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    level INTEGER NOT NULL,
    target TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (source, kind, level)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS estargz_layers (
    digest TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL,
    toc_digest TEXT NOT NULL,
    size INTEGER NOT NULL
) WITHOUT ROWID;
"""

_DIGEST_COLUMNS = "repository, digest, image, target"
_VARIANT_COLUMNS = "source, kind, level, target, size"
_COLUMNS = "id, manifest, layers, config, chain, size, created, parent, last_tagged, hidden"


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A row of `images`: documents as JSON; `chain` holds chain IDs with spaces between, bottom first."""

    id: str
    manifest: bytes
    layers: bytes
    config: bytes
    chain: str
    size: int
    created: int
    parent: str = ""
    last_tagged: int = 0
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class NameRow:
    """A row of `image_tags` or `image_digests`: `mark` is the tag or the digest, `target` a descriptor's
    JSON."""

    repository: str
    mark: str
    image: str
    target: bytes


@dataclass(frozen=True, slots=True)
class VariantRow:
    """A row of `blob_variants`: the layer `source` in another compression is the blob `target`, of `size`
    bytes."""

    source: str
    kind: str
    level: int
    target: str
    size: int


class Tables:
    """Thread-safe; every method is one statement, or runs inside `transaction`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        (_, _, path) = next(row for row in connection.execute("PRAGMA database_list") if row[1] == "main")
        self._owned = bool(path)
        self._connection = connection
        if path:
            # Of the caller's kind, which may have words of its own for a full disk.
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=30, factory=type(connection)
            )
            self._connection.execute("PRAGMA synchronous=NORMAL")
        self._lock = threading.RLock()
        self._connection.executescript(_SCHEMA)

    @property
    def changes(self) -> int:
        """Grows whenever a row changes: who has not seen it grow may use what was read before."""
        return self._connection.total_changes

    def close(self) -> None:
        """Closes the connection that was opened here."""
        with self._lock:
            if self._owned:
                self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nests."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        """A full disk may have ended the transaction already, or have left it open."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _all(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def damages(self) -> list[str]:
        """What SQLite finds wrong with the database file; a quick check, without the indexes' contents."""
        return [str(line) for (line,) in self._all("PRAGMA quick_check") if line != "ok"]

    # -- images

    def image(self, image_id: str) -> ImageRow | None:
        """One image, hidden or not."""
        rows = self._images(f"SELECT {_COLUMNS} FROM images WHERE id = ?", image_id)
        return rows[0] if rows else None

    def images(self) -> list[ImageRow]:
        """Every image, hidden ones too, newest first."""
        return self._images(f"SELECT {_COLUMNS} FROM images ORDER BY created DESC, id")

    def by_prefix(self, prefix: str) -> list[str]:
        """IDs of visible images that begin so (at most two are looked for)."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        sql = "SELECT id FROM images WHERE id >= ? AND id < ? AND hidden = 0 LIMIT 2"
        return [str(row[0]) for row in self._all(sql, prefix, end)]

    def children(self, image_id: str) -> list[str]:
        """IDs of the visible images whose parent this is."""
        return [
            str(row[0])
            for row in self._all("SELECT id FROM images WHERE parent = ? AND hidden = 0", image_id)
        ]

    def add_image(self, row: ImageRow) -> None:
        """Adds an image; one that is there already becomes visible again and keeps its manifest."""
        with self._lock:
            self._connection.execute(
                f"INSERT INTO images ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?) "
                "ON CONFLICT (id) DO UPDATE SET hidden = 0, "
                "parent = CASE WHEN excluded.parent <> '' THEN excluded.parent ELSE parent END",
                (
                    row.id,
                    row.manifest,
                    row.layers,
                    row.config,
                    row.chain,
                    row.size,
                    row.created,
                    row.parent,
                    row.last_tagged,
                    row.hidden,
                ),
            )

    def set_chain(self, image_id: str, chain: str) -> None:
        """Corrects the chain of an image."""
        self._all("UPDATE images SET chain = ? WHERE id = ?", chain, image_id)

    def hide_image(self, image_id: str) -> None:
        """Keeps an image for its containers only."""
        self._all("UPDATE images SET hidden = 1 WHERE id = ?", image_id)

    def delete_image(self, image_id: str) -> None:
        """Removes the row."""
        self._all("DELETE FROM images WHERE id = ?", image_id)

    def _images(self, sql: str, *values: object) -> list[ImageRow]:
        return [ImageRow(*row) for row in self._all(sql, *values)]  # type: ignore[arg-type]

    # -- when images were used last

    def save_uses(self, uses: Mapping[str, int]) -> None:
        """When images were used, in nanoseconds since 1970; forgets images that are gone."""
        with self.transaction():
            for image_id, moment in uses.items():
                self._all("INSERT OR REPLACE INTO image_used VALUES (?,?)", image_id, moment)
            self._all("DELETE FROM image_used WHERE image NOT IN (SELECT id FROM images)")

    def uses(self) -> dict[str, int]:
        """What `save_uses` has written down."""
        rows = self._all("SELECT image, at FROM image_used")
        return {str(image): int(moment) for image, moment in rows}  # type: ignore[call-overload]

    # -- what a pull that broke off has verified

    def keep(self, keys: Iterable[str], until: int) -> None:
        """Keeps blobs and layers (digests, chain IDs) that no image needs yet; `until` in seconds since
        1970."""
        with self.transaction():
            for key in keys:
                self._all("INSERT OR REPLACE INTO image_kept VALUES (?,?)", key, until)

    def give_up(self, keys: Iterable[str]) -> None:
        """Ends that."""
        with self.transaction():
            for key in keys:
                self._all("DELETE FROM image_kept WHERE key=?", key)

    def give_up_all(self) -> None:
        """Ends it for everything."""
        self._all("DELETE FROM image_kept")

    def kept(self, now: int) -> set[str]:
        """What is still kept at `now`."""
        return {str(row[0]) for row in self._all("SELECT key FROM image_kept WHERE until > ?", now)}

    # -- layers in another compression

    def variant(self, source: str, kind: str, level: int) -> VariantRow | None:
        """What was made of `source`, if anything."""
        sql = f"SELECT {_VARIANT_COLUMNS} FROM blob_variants WHERE source=? AND kind=? AND level=?"
        rows = self._all(sql, source, kind, level)
        return VariantRow(*rows[0]) if rows else None  # type: ignore[arg-type]

    def variants(self) -> list[VariantRow]:
        """All of them."""
        rows = self._all(f"SELECT {_VARIANT_COLUMNS} FROM blob_variants")
        return [VariantRow(*row) for row in rows]  # type: ignore[arg-type]

    def set_variant(self, row: VariantRow) -> None:
        """Notes one."""
        self._all(
            "INSERT OR REPLACE INTO blob_variants VALUES (?,?,?,?,?)",
            row.source,
            row.kind,
            row.level,
            row.target,
            row.size,
        )

    def delete_variants(self, source: str) -> None:
        """Forgets what was made of `source`."""
        with self.transaction():
            self._all("DELETE FROM blob_variants WHERE source=?", source)
            self._all("DELETE FROM estargz_layers WHERE digest NOT IN (SELECT target FROM blob_variants)")

    def estargz(self, digest: str) -> tuple[str, str, int] | None:
        """Of an eStargz layer that was made here: diff ID, digest of the TOC, uncompressed size."""
        rows = self._all("SELECT diff_id, toc_digest, size FROM estargz_layers WHERE digest=?", digest)
        return rows[0] if rows else None  # type: ignore[return-value]

    def set_estargz(self, digest: str, diff_id: str, toc_digest: str, size: int) -> None:
        """Notes one."""
        self._all("INSERT OR REPLACE INTO estargz_layers VALUES (?,?,?,?)", digest, diff_id, toc_digest, size)

    # -- names

    def tag(self, repository: str, tag: str) -> NameRow | None:
        """What a tag points to."""
        rows = self._names(
            "SELECT repository, tag, image, target FROM image_tags WHERE repository=? AND tag=?",
            repository,
            tag,
        )
        return rows[0] if rows else None

    def digest(self, repository: str, digest: str) -> NameRow | None:
        """What a digest of a repository points to."""
        sql = "SELECT repository, digest, image, target FROM image_digests WHERE repository=? AND digest=?"
        rows = self._names(sql, repository, digest)
        return rows[0] if rows else None

    def tags(self) -> list[NameRow]:
        """All tags."""
        return self._names("SELECT repository, tag, image, target FROM image_tags ORDER BY repository, tag")

    def digests(self) -> list[NameRow]:
        """All digests."""
        return self._names(
            "SELECT repository, digest, image, target FROM image_digests ORDER BY repository, digest"
        )

    def tags_of(self, image_id: str) -> list[NameRow]:
        """The tags of one image."""
        sql = "SELECT repository, tag, image, target FROM image_tags WHERE image=? ORDER BY repository, tag"
        return self._names(sql, image_id)

    def digests_of(self, image_id: str) -> list[NameRow]:
        """The digests of one image."""
        sql = f"SELECT {_DIGEST_COLUMNS} FROM image_digests WHERE image=? ORDER BY repository, digest"
        return self._names(sql, image_id)

    def set_tag(self, row: NameRow, now: int) -> None:
        """Points a tag to an image, taking it from another. NotFound when there is no such image (any
        more)."""
        with self.transaction():
            self._require(row)
            self._all(
                "INSERT OR REPLACE INTO image_tags VALUES (?,?,?,?)",
                row.repository,
                row.mark,
                row.image,
                row.target,
            )
            self._all("UPDATE images SET last_tagged = ? WHERE id = ?", now, row.image)

    def set_digest(self, row: NameRow) -> None:
        """Records under which digest a repository has an image. NotFound as with `set_tag`."""
        with self.transaction():
            self._require(row)
            self._all(
                "INSERT OR REPLACE INTO image_digests VALUES (?,?,?,?)",
                row.repository,
                row.mark,
                row.image,
                row.target,
            )

    def _require(self, row: NameRow) -> None:
        """An artifact's name has no image."""
        if row.image and not self._all("SELECT 1 FROM images WHERE id = ?", row.image):
            raise NotFound(f"cannot name image {row.image} {row.repository}: it has just been removed")

    def delete_tag(self, repository: str, tag: str) -> None:
        """Removes a tag."""
        self._all("DELETE FROM image_tags WHERE repository=? AND tag=?", repository, tag)

    def delete_digest(self, repository: str, digest: str) -> None:
        """Removes a digest."""
        self._all("DELETE FROM image_digests WHERE repository=? AND digest=?", repository, digest)

    def _names(self, sql: str, *values: object) -> list[NameRow]:
        return [NameRow(*row) for row in self._all(sql, *values)]  # type: ignore[arg-type]
