"""`builder prune` and `builder du`: the filters of Docker's API, and what else is kept between builds."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from corten.api.build import BuildCacheItem, BuildPruned
from corten.build.context.http_source import Download
from corten.build.solve.pruning import CacheItem, Pruned, PruneOptions
from corten.content.allocation import allocated
from corten.engine.results import Filters
from corten.engine.timestamp import parse_time, rfc3339
from corten.errors import InvalidArgument
from corten.snapshot.tree import remove_tree

GIT, HTTP = "source.git.checkout", "source.http"
_FILTERS = (
    "until", "unused-for", "id", "parent", "parents", "type", "description", "inuse", "in-use", "shared",
    "private", "mutable", "immutable",
)  # fmt: skip


class KeptRepositories:
    """Git repositories of builds' contexts. With `busy`, a build may be using any of them."""

    def __init__(self, directory: Path, busy: Callable[[], bool]) -> None:
        self._directory = directory
        self._busy = busy

    def usage(self) -> list[CacheItem]:
        """See OtherCache."""
        found = []
        for path in _entries(self._directory):
            status = path.stat()
            used = max(status.st_mtime_ns, _changed(path / "FETCH_HEAD"))
            size = allocated([path])
            found.append(
                CacheItem(
                    path.name[:25], GIT, _repository(path), size, status.st_mtime_ns, used, 1, self._busy()
                )
            )
        return found

    def remove(self, id: str) -> Callable[[], None] | None:
        """See OtherCache."""
        if self._busy():
            return None
        gone = self._directory / f".gone-{secrets.token_hex(8)}"
        for path in _entries(self._directory):
            if path.name.startswith(id):
                path.rename(gone)
        return lambda: remove_tree(str(gone))


class KeptDownloads:
    """What was downloaded: a record (`.json`) for each URL, and the bytes by their digest."""

    def __init__(self, directory: Path, busy: Callable[[], bool]) -> None:
        self._directory = directory
        self._busy = busy

    def usage(self) -> list[CacheItem]:
        """See OtherCache. Bytes that two URLs yield count for the first."""
        found, counted = [], set()
        for path in _entries(self._directory):
            download = _download(path)
            if download is not None:
                used = path.stat().st_mtime_ns
                size = 0 if download.digest in counted else download.size
                counted.add(download.digest)
                found.append(
                    CacheItem(path.name[:25], HTTP, download.filename, size, used, used, 1, self._busy())
                )
        return found

    def remove(self, id: str) -> Callable[[], None] | None:
        """See OtherCache."""
        if self._busy():
            return None
        kept, gone = set(), []
        for path in _entries(self._directory):
            download = _download(path)
            if download is None:
                continue
            if path.name.startswith(id):
                path.unlink(missing_ok=True)
                gone.append(download.digest)
            else:
                kept.add(download.digest)
        doomed = [self._directory / digest.partition(":")[2] for digest in gone if digest not in kept]
        return lambda: _unlink(doomed)


def prune_options(
    filters: Filters,
    *,
    all: bool = False,
    reserved_space: int = 0,
    max_used_space: int = 0,
    min_free_space: int = 0,
) -> PruneOptions:
    """Docker's filters. `until` is a span (`24h`) or a moment; InvalidArgument."""
    for key in filters:
        if key not in _FILTERS:
            raise InvalidArgument(f"invalid filter {key!r}: there are {', '.join(_FILTERS)}")
    moments = [parse_time(text) for key in ("until", "unused-for") for text in filters.get(key, ())]
    descriptions = tuple(_pattern(text) for text in filters.get("description", ()))
    in_use = "inuse" if "inuse" in filters else "in-use"
    return PruneOptions(
        all=all,
        unused_since=min(moments, default=None),
        ids=tuple(filters.get("id", ())),
        types=tuple(filters.get("type", ())),
        descriptions=descriptions,
        in_use=_truth(filters, in_use),
        shared=_truth_or_not(filters, "shared", "private"),
        mutable=_truth_or_not(filters, "mutable", "immutable"),
        parents=(*filters.get("parent", ()), *filters.get("parents", ())),
        least=reserved_space,
        most=max_used_space,
        free=min_free_space,
    )


def pruned(result: Pruned) -> BuildPruned:
    """As the API has it."""
    return BuildPruned(caches_deleted=list(result.ids), space_reclaimed=result.freed)


def cache_item(item: CacheItem) -> BuildCacheItem:
    """As the API has it."""
    return BuildCacheItem(
        id=item.id,
        parents=list(item.parents) or None,
        type=item.type,
        description=item.description,
        in_use=item.in_use,
        shared=item.shared,
        size=item.size,
        created_at=rfc3339(item.created),
        last_used_at=rfc3339(item.used),
        usage_count=item.uses,
    )


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise InvalidArgument(f"invalid filter 'description={text}': {error}") from error
    return text


def _truth_or_not(filters: Filters, key: str, opposite: str) -> bool | None:
    found = _truth(filters, opposite)
    return _truth(filters, key) if found is None else not found


def _truth(filters: Filters, key: str) -> bool | None:
    values = [value.lower() for value in filters.get(key, ())]
    if not values:
        return None
    if values[-1] not in ("", "true", "1", "false", "0"):
        raise InvalidArgument(f"invalid filter '{key}={values[-1]}': it is either true or false")
    return values[-1] not in ("false", "0")


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _entries(directory: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    return []


def _changed(path: Path) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime_ns
    return 0


def _repository(path: Path) -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"(\S+)\s*$", (path / "FETCH_HEAD").read_text(errors="replace"))
        if found is not None:
            return f"git repository {found[1]}"
    return "git repository"


def _download(path: Path) -> Download | None:
    if path.suffix != ".json":
        return None
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Download)
    return None
