"""Why a step was not in the cache: what it is made of now, beside what it was made of the last time.

For each step of a build (by its scope, stage and position) the ingredients of its key are kept, and of what
is copied the manifests, so that a miss can be told by file, variable, base or command.
"""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from corten.build.context.model import Selection
from corten.build.graph import Copy, Exec, FileOperation, ImageSource, LayoutSource, Merge, Vertex
from corten.build.progress import Miss
from corten.build.solve.database import CacheDatabase
from corten.build.solve.keys import stripped

_SHOWN = 20
_KEPT_SECONDS = 30 * 24 * 3600


class Ingredients(msgspec.Struct, frozen=True):
    """What the key of a step was made of. `below` and `base` name the file system that it changes; `contents`
    are (what was copied, the digest of its manifest)."""

    operation: Exec | FileOperation
    epoch: int | None
    below: str
    below_identity: str
    base: str
    contents: tuple[tuple[str, str], ...] = ()
    key: str = ""


class Explanation:
    """Of one build. Nothing is kept without a scope."""

    def __init__(self, database: CacheDatabase, scope: str, targets: Sequence[Vertex]) -> None:
        self._database = database
        self._scope = scope
        self._places = dict(_places(targets)) if scope else {}
        self._now: dict[Vertex, Ingredients] = {}
        self._seen: dict[str, bytes] = {}
        self._before = self._load() if scope else {}

    # -- what is learned

    def know(
        self,
        vertex: Vertex,
        below_identity: str,
        selections: Sequence[tuple[Vertex | None, Copy]],
        digests: Sequence[str | None],
    ) -> None:
        """The operation and what is below it."""
        if vertex not in self._places:
            return
        operation = stripped(vertex.operation)
        below = vertex.inputs[0] if vertex.inputs else None
        base = ""
        if below is not None and isinstance(below.operation, ImageSource):
            base = below.operation.reference
        elif below is not None and isinstance(below.operation, LayoutSource):
            base = below.operation.name
        named = tuple(
            (_source(source, copy), digest or "")
            for (source, copy), digest in zip(selections, digests, strict=True)
        )
        self._now[vertex] = Ingredients(
            operation, vertex.epoch, below.name if below is not None else "", below_identity, base, named
        )

    def know_contents(self, vertex: Vertex, digests: Sequence[str], key: str) -> None:
        """What it copies, and what came of it all."""
        now = self._now.get(vertex)
        if now is None:
            return
        named = tuple((name, digest) for (name, _), digest in zip(now.contents, digests, strict=True))
        self._now[vertex] = msgspec.structs.replace(now, contents=named, key=key)

    def see(self, selection: Selection) -> None:
        """The files of a selection, which may be compared with others another time."""
        if self._scope:
            self._seen[selection.digest] = selection.manifest

    # -- what is told

    def misses(self, vertex: Vertex) -> tuple[Miss, ...]:
        """Why the vertex ran."""
        if vertex.ignore_cache:
            return (Miss("disabled", detail="the cache was not asked"),)
        now = self._now.get(vertex)
        if now is None:
            return ()
        before = self._counterpart(vertex, now)
        if before is None:
            return (Miss("new", vertex.name, "there was no such step in the last build"),)
        found = list(self._compare(before, now))
        return tuple(found) or (Miss("gone", vertex.name, "its result was removed from the cache"),)

    def _counterpart(self, vertex: Vertex, now: Ingredients) -> Ingredients | None:
        """The same step in the last build: the same operation, or what was at its place, unless that has
        only moved."""
        stage, position = self._places[vertex]
        before = self._before.get(stage, {})
        same = [place for place, item in before.items() if item.operation == now.operation]
        if same:
            return before[min(same, key=lambda place: abs(place - position))]
        there = before.get(position)
        if there is None or type(there.operation) is not type(now.operation):
            return None
        moved = any(
            item.operation == there.operation
            for other, item in self._now.items()
            if other is not vertex and self._places[other][0] == stage
        )
        return None if moved else there

    def _compare(self, before: Ingredients, now: Ingredients) -> Iterator[Miss]:
        if before.below_identity != now.below_identity:
            if now.base or before.base:
                was = f"was {before.base}" if before.base and before.base != now.base else ""
                yield Miss("base", now.base or "scratch", was or "its layers are others")
            else:
                yield Miss("input", now.below or "scratch", "the step before has another result")
        if isinstance(now.operation, Exec) and isinstance(before.operation, Exec):
            yield from _compare_processes(before.operation, now.operation)
        elif before.operation != now.operation:
            yield Miss("command", now.below, "other files, owners or places")
        if before.epoch != now.epoch:
            yield Miss("variable", "SOURCE_DATE_EPOCH", f"{_shown(before.epoch)} → {_shown(now.epoch)}")
        old = dict(before.contents)
        for name, digest in now.contents:
            if old.get(name, digest) != digest:
                yield from self._compare_files(name, old[name], digest)
            elif name not in old:
                yield Miss("file", name, "was not copied")

    def _compare_files(self, name: str, before: str, now: str) -> Iterator[Miss]:
        from corten.build.context.manifest import differences

        old, new = self._manifest(before), self._manifest(now)
        if old is None or new is None:
            yield Miss("file", name, "has other contents")
            return
        count = 0
        for count, item in enumerate(differences(old, new), 1):
            if count <= _SHOWN:
                yield Miss("file", item.path, item.change)
        if count > _SHOWN:
            yield Miss("file", name, f"and {count - _SHOWN} more")
        if not count:
            yield Miss("file", name, "has other attributes")

    def _manifest(self, digest: str) -> bytes | None:
        if digest in self._seen:
            return self._seen[digest]
        row = self._database.one("SELECT entries FROM manifests WHERE digest = ?", (digest,))
        return None if row is None else zlib.decompress(row[0])

    # -- what is kept

    def _load(self) -> dict[str, dict[int, Ingredients]]:
        before: dict[str, dict[int, Ingredients]] = defaultdict(dict)
        rows = self._database.all(
            "SELECT stage, position, ingredients FROM steps WHERE scope = ?", (self._scope,)
        )
        for stage, position, data in rows:
            try:
                before[stage][position] = msgspec.msgpack.decode(data, type=Ingredients)
            except msgspec.DecodeError:
                continue  # of another version
        return before

    def save(self) -> None:
        """Keeps what was learned, for the next build of the same scope. May take as long as it takes to
        compress the manifests that are new."""
        changed = [
            (vertex, item)
            for vertex, item in self._now.items()
            if item.key and self._before.get(self._places[vertex][0], {}).get(self._places[vertex][1]) != item
        ]
        if not changed:
            return
        now = int(time.time())
        with self._database.transaction():
            for vertex, item in changed:
                try:
                    encoded = msgspec.msgpack.encode(item)
                except UnicodeEncodeError:
                    continue  # a command with bytes that are no text
                self._database.all(
                    "INSERT OR REPLACE INTO steps VALUES (?,?,?,?,?)",
                    (self._scope, *self._places[vertex], encoded, now),
                )
                for _name, digest in item.contents:
                    if digest in self._seen:
                        self._database.all(
                            "INSERT OR IGNORE INTO manifests VALUES (?,?)",
                            (digest, zlib.compress(self._seen.pop(digest), 1)),
                        )


def forget_old(database: CacheDatabase) -> None:
    """Forgets builds that were long ago, and manifests that no step names any more. It reads all of them: no
    build waits for it."""
    with database.transaction():
        database.all("DELETE FROM steps WHERE used < ?", (int(time.time()) - _KEPT_SECONDS,))
        named = {
            digest
            for (data,) in database.all("SELECT ingredients FROM steps")
            for _name, digest in _contents(data)
        }
        for (digest,) in database.all("SELECT digest FROM manifests"):
            if digest not in named:
                database.all("DELETE FROM manifests WHERE digest = ?", (digest,))


def _contents(data: bytes) -> tuple[tuple[str, str], ...]:
    try:
        return msgspec.msgpack.decode(data, type=Ingredients).contents
    except msgspec.DecodeError:
        return ()


def _places(targets: Sequence[Vertex]) -> Iterator[tuple[Vertex, tuple[str, int]]]:
    """Each step's stage and its position there; stages of several targets are told apart."""
    known: set[Vertex] = set()
    for number, target in enumerate(targets):
        counts: dict[str, int] = defaultdict(int)
        for vertex in target.walk():
            if isinstance(vertex.operation, Exec | FileOperation) and vertex not in known:
                known.add(vertex)
                stage = f"{number} {vertex.stage}"
                counts[stage] += 1
                yield vertex, (stage, counts[stage])


def _source(source: Vertex | None, copy: Copy) -> str:
    if source is None:
        return f"scratch: {copy.source}"
    kind = "" if isinstance(source.operation, Exec | FileOperation | Merge) else f"{source.name}: "
    return f"{source.stage}: {copy.source}" if source.stage and not kind else f"{kind}{copy.source}"


def _compare_processes(before: Exec, now: Exec) -> Iterator[Miss]:
    if before.args != now.args:
        yield Miss("command", " ".join(now.args), f"was {' '.join(before.args)}")
    if before.here_documents != now.here_documents:
        yield Miss("command", "here-document", "has another text")
    old, new = (dict(item.partition("=")[::2] for item in each.environment) for each in (before, now))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Miss("variable", name, f"{_shown(old.get(name))} → {_shown(new.get(name))}")
    for what, one, other in (
        ("directory", before.directory, now.directory),
        ("user", before.user, now.user),
        ("hostname", before.hostname, now.hostname),
        ("network", before.network, now.network),
        ("security", before.security, now.security),
        ("extra hosts", before.extra_hosts, now.extra_hosts),
        ("devices", before.devices, now.devices),
    ):
        if one != other:
            yield Miss("command", what, f"was {one or 'not set'}")
    if before.mounts != now.mounts:
        yield Miss("mount", "", "the mounts are others")


def _shown(value: str | int | None) -> str:
    return "not set" if value is None else str(value)
