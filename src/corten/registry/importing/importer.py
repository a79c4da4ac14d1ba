"""Brings what a Docker registry's directory has into this registry, a repository after the other.

Manifests are read first: what they need is what is taken over. A blob's bytes are compared with its digest,
put into their place, and become a blob in a transaction; a place is written down before anything is put
there, so that nothing is left of an import that is killed. What is damaged or missing is named, and what
needs it is left out; an index is taken without the platforms that are missing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from corten.errors import CortenError
from corten.registry.blobs.store import Adopted, BlobStore, location_of
from corten.registry.config import Config
from corten.registry.importing.checking import Checked, Readers, Source
from corten.registry.importing.layout import Layout, Revision
from corten.registry.manifest import read_manifest
from corten.registry.metadata import importing
from corten.registry.metadata.database import Database
from corten.registry.metadata.records import Blob, Doomed, NewManifest

MANIFESTS = 50
"""So many are stored in one transaction."""
BLOBS = 64
"""So many become blobs in one transaction."""
AT_ONCE = 8


class Tally(msgspec.Struct):
    """How much of everything there was. Blobs and bytes are those that are new here."""

    repositories: int = 0
    manifests: int = 0
    tags: int = 0
    blobs: int = 0
    bytes: int = 0
    linked: int = 0
    cloned: int = 0
    copied: int = 0
    known: int = 0
    """Manifests that were here before."""
    problems: int = 0


class Importer:
    """One run. `tell` is called for each problem, `progress` now and then."""

    def __init__(
        self,
        layout: Layout,
        database: Database,
        store: BlobStore,
        readers: Readers,
        config: Config,
        tell: Callable[[str], None],
        progress: Callable[[Tally], None],
    ) -> None:
        self.tally = Tally()
        self._layout = layout
        self._database = database
        self._store = store
        self._readers = readers
        self._limits = config.limits
        self._grace = int(config.collection.grace_seconds * 1000)
        self._tell = tell
        self._progress = progress
        self._spoilt: dict[str, str] = {}
        # Each waits for the disk, which brings several changes of directories there at once.
        self._threads = ThreadPoolExecutor(AT_ONCE, "adopting")

    def run(self) -> Tally:
        """Imports everything; what the database or the storage raise ends it."""
        with self._threads:
            return self._run()

    def _run(self) -> Tally:
        for name, is_valid in self._layout.repositories():
            if is_valid:
                self._repository(name)
                self.tally.repositories += 1
            else:
                self._problem(f"{name}: cannot be read, or is no name for a repository; left out")
            self._progress(self.tally)
        return self.tally

    def _problem(self, text: str) -> None:
        self.tally.problems += 1
        self._tell(text)

    def _repository(self, name: str) -> None:
        known, tags = self._database.read(importing.here, name)
        revisions = self._layout.revisions(name)
        self.tally.known += sum(1 for revision in revisions if revision.digest in known)
        images: list[tuple[NewManifest, int]] = []
        indexes: list[tuple[NewManifest, int]] = []
        for revision in revisions:
            if revision.digest in known or (found := self._read(name, revision)) is None:
                continue
            (indexes if _children(found[0]) else images).append(found)
            if len(images) == MANIFESTS:
                known |= self._put(name, images)
                images = []
        known |= self._put(name, images)
        for ready in _in_order(indexes):
            known |= self._put(name, [found for one in ready if (found := self._without(name, one, known))])
        self._tags(name, known, tags)

    def _read(self, name: str, revision: Revision) -> tuple[NewManifest, int] | None:
        what = f"{name}@{revision.digest}"
        path = self._layout.path_of(name, revision.digest)
        if path is None:
            self._problem(f"{what}: the manifest's bytes are missing; left out")
            return None
        try:
            with open(path, "rb") as file:
                payload = file.read(self._limits.manifest_bytes + 1)
            if len(payload) > self._limits.manifest_bytes:
                self._problem(
                    f"{what}: the manifest is larger than {self._limits.manifest_bytes} bytes; left out"
                )
                return None
            manifest = read_manifest(payload, "", revision.digest, self._limits.manifest_references)
        except (OSError, CortenError) as error:
            self._problem(f"{what}: {getattr(error, 'message', error)}; left out")
            return None
        return manifest, revision.pushed

    def _without(
        self, name: str, found: tuple[NewManifest, int], known: set[str]
    ) -> tuple[NewManifest, int] | None:
        """An index, with what it lists and the directory lacks being optional; None when it lacks all."""
        manifest, pushed = found
        what = f"{name}@{manifest.digest}"
        absent = {
            reference.digest
            for reference in manifest.references
            if reference.is_manifest
            and reference.digest not in known
            and not self._layout.is_layer(name, reference.digest)
        }
        if not absent:
            return found
        if len(absent) == len(manifest.references):
            self._problem(f"{what}: nothing of what the index lists is there; left out")
            return None
        for digest in sorted(absent):
            self._problem(f"{what}: taken without {digest}, which the index lists and which is not there")
        references = tuple(
            msgspec.structs.replace(reference, optional=True) if reference.digest in absent else reference
            for reference in manifest.references
        )
        return msgspec.structs.replace(manifest, references=references), pushed

    def _put(self, name: str, found: Sequence[tuple[NewManifest, int]]) -> set[str]:
        """Stores manifests, and before them what they need; the digests of those that are here then."""
        if not found:
            return set()
        self._blobs(name, found)
        failed = self._database.write(importing.put, name, found, self._grace)
        for digest, missing in failed.items():
            for lack in missing:
                target = lack.reference.digest
                why = self._spoilt.get(target, "is missing")
                if lack.size >= 0:
                    why = f"has {lack.size} bytes, and the manifest says {lack.reference.size}"
                self._problem(f"{name}@{digest}: needs {target}, which {why}; left out")
        stored = {manifest.digest for manifest, _pushed in found} - set(failed)
        self.tally.manifests += len(stored)
        self._progress(self.tally)
        return stored

    def _blobs(self, name: str, found: Sequence[tuple[NewManifest, int]]) -> None:
        wanted = {
            reference.digest
            for manifest, _pushed in found
            for reference in manifest.references
            if not reference.is_manifest or self._layout.is_layer(name, reference.digest)
        }
        wanted -= set(self._database.read(importing.stored, sorted(wanted))) | set(self._spoilt)
        ready: list[Checked] = []
        for checked in self._readers.check(self._sources(name, sorted(wanted))):
            if checked.size < 0:
                self._spoilt[checked.source.digest] = f"{checked.why} ({checked.source.path})"
                continue
            ready.append(checked)
            if len(ready) == BLOBS:
                self._adopt(name, ready)
                ready = []
        self._adopt(name, ready)

    def _sources(self, name: str, digests: Sequence[str]) -> Iterator[Source]:
        for digest in digests:
            path = self._layout.path_of(name, digest)
            if path is not None:
                yield Source(digest, path)

    def _adopt(self, name: str, ready: Sequence[Checked]) -> None:
        blobs = [
            Blob(found.source.digest, found.size, location_of(found.source.digest, secrets.token_hex(16)))
            for found in ready
        ]
        if not blobs:
            return
        self._database.write(importing.aim, [Doomed(blob.location, blob.digest, blob.size) for blob in blobs])
        paths, locations = [found.source.path for found in ready], [blob.location for blob in blobs]
        for found, how in zip(ready, self._threads.map(self._store.adopt, paths, locations), strict=True):
            self.tally.linked += how is Adopted.LINKED
            self.tally.cloned += how is Adopted.CLONED
            self.tally.copied += how is Adopted.COPIED
            self.tally.blobs += 1
            self.tally.bytes += found.size
            self._progress(self.tally)
        self._database.write(importing.adopt, name, blobs)

    def _tags(self, name: str, known: set[str], before: dict[str, tuple[str, int]]) -> None:
        wanted: dict[str, tuple[str, int]] = {}
        for tag in self._layout.tags(name):
            if not tag.digest:
                self._problem(f"{name}:{tag.name}: the tag is damaged; left out")
            elif tag.digest not in known:
                self._problem(f"{name}:{tag.name}: its manifest {tag.digest} is not there; left out")
            elif tag.name not in before or before[tag.name][0] != tag.digest:
                wanted[tag.name] = (tag.digest, tag.updated)
        if not wanted:
            return
        kept = self._database.write(importing.tag, name, wanted)
        self.tally.tags += len(wanted) - len(kept)
        for tag_name in kept:
            self._tell(f"{name}:{tag_name}: was moved here since, and stays as it is")


def _children(manifest: NewManifest) -> list[str]:
    return [reference.digest for reference in manifest.references if reference.is_manifest]


def _in_order(
    indexes: Sequence[tuple[NewManifest, int]],
) -> Iterator[list[tuple[NewManifest, int]]]:
    """Indexes before those that list them."""
    pending = {manifest.digest: (manifest, pushed) for manifest, pushed in indexes}
    while pending:
        ready = [
            found for found in pending.values() if not any(child in pending for child in _children(found[0]))
        ]
        # A digest cannot be in what it is of: there is always one.
        for manifest, _pushed in ready:
            del pending[manifest.digest]
        yield ready
