"""Digests of files' contents, known by what stat(2) tells of the files, and kept between builds.

::

    <directory>/<digest of the context's path>    one file for each context:
        magic (8 bytes), sha256 of the rest (32), entries: stat key (40), digest of the content (32)

As git's index does, a file that changed just before it was looked at is not noted: it could change once more
without a trace. What is damaged, or of another version, counts as empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
import threading
from pathlib import Path

from corten.build.context.seen_file import changed_at

_MAGIC = b"corstat1"
_HEAD = len(_MAGIC) + 32
_ENTRY = struct.Struct("40s32s")
_MAX_ENTRIES = 500_000
_SPARE_ENTRIES = 10_000
_MAX_FILES = 100

# A clock of the file system's may be as coarse as this; some count whole or even seconds only.
_FINE_NS = 1_000_000_000
_COARSE_NS = 3_000_000_000


def is_settled(key: bytes, seen_ns: int) -> bool:
    """Whether a change after `seen_ns` (since 1970) is certain to change this stat key of a file."""
    changed = changed_at(key)
    return seen_ns - changed > (_FINE_NS if changed % 1_000_000_000 else _COARSE_NS)


class StatCache:
    """What is known of the files of one context. Thread-safe, as far as dict is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)
        self._used: dict[bytes, bytes] = {}
        self._changed = False

    def find(self, key: bytes) -> bytes | None:
        """The digest of the file with this stat key."""
        digest = self._used.get(key)
        if digest is None:
            digest = self._known.get(key)
            if digest is not None:
                self._used[key] = digest
        return digest

    def add(self, key: bytes, digest: bytes, seen_ns: int) -> None:
        """Notes the digest (32 bytes) of a file that was looked at, and then read, at `seen_ns` or later."""
        if is_settled(key, seen_ns):
            self._used[key] = digest
            self._changed = True

    def save(self) -> None:
        """Writes the file, when there is something new. What was not asked for lately is forgotten, as far
        as there is more of it than of what was."""
        if not self._changed:
            return
        self._changed = False
        used = dict(self._used)
        spare = min(max(len(used), _SPARE_ENTRIES), _MAX_ENTRIES - len(used))
        unused = [item for item in self._known.items() if item[0] not in used]
        entries = [*unused[max(len(unused) - spare, 0) :], *used.items()] if spare > 0 else [*used.items()]
        body = b"".join([key + digest for key, digest in entries[-_MAX_ENTRIES:]])
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(6)}")
        try:
            temporary.write_bytes(b"".join((_MAGIC, hashlib.sha256(body).digest(), body)))
            temporary.rename(self._path)
        except OSError:
            # A cache that cannot be written costs time, and nothing else.
            with contextlib.suppress(OSError):
                temporary.unlink()


class StatCaches:
    """The caches beneath `directory`: one for each context, shared by the builds that use it together."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._open: dict[str, tuple[StatCache, int]] = {}

    def open(self, context: str) -> StatCache:
        """That of the directory `context` (an absolute path); give it back with `release`."""
        with self._lock:
            cache, users = self._open.get(context, (None, 0))
            if cache is None:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                name = hashlib.sha256(os.fsencode(context)).hexdigest()[:32]
                cache = StatCache(self._directory / name)
            self._open[context] = (cache, users + 1)
            return cache

    def release(self, context: str) -> None:
        """Saves the cache; forgets it with its last user."""
        with self._lock:
            cache, users = self._open.pop(context)
            if users > 1:
                self._open[context] = (cache, users - 1)
        cache.save()
        self._prune()

    def _prune(self) -> None:
        """Contexts come and go: keeps the files that were written last."""
        with contextlib.suppress(OSError), os.scandir(self._directory) as entries:
            found = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
            for _time, path in found[: max(len(found) - _MAX_FILES, 0)]:
                os.unlink(path)


def _load(path: Path) -> dict[bytes, bytes]:
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    body = memoryview(data)[_HEAD:]
    if (
        not data.startswith(_MAGIC)
        or len(body) % _ENTRY.size
        or hashlib.sha256(body).digest() != data[len(_MAGIC) : _HEAD]
    ):
        return {}
    return dict(_ENTRY.iter_unpack(body))
