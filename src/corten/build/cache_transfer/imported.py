"""What one build has imported: records and digests of contents, beside those of this engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from corten.build.solve.protocols import MountFiller
from corten.build.solve.records import Record, RecordLookup, Records
from corten.build.solve.result import BuiltLayer, Result


@dataclass(frozen=True, slots=True)
class ImportedRecord:
    """`result` None: only the key is known."""

    partial: str
    result: Result | None


@dataclass(slots=True)
class ImportedCache:
    """Trusted for the build that asked for it: only what that uses is written down here (`keep`), under its
    key. `mounts` knows what new cache mounts begin as."""

    records: dict[str, ImportedRecord] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    mounts: MountFiller | None = None
    used: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)

    def add(self, records: Mapping[str, ImportedRecord], contents: Mapping[str, str]) -> None:
        """What one source has. Earlier ones come first; layers come before mere keys."""
        for key, record in records.items():
            known = self.records.get(key)
            if known is None or (known.result is None and record.result is not None):
                self.records[key] = record
        for key, digest in contents.items():
            self.contents.setdefault(key, digest)

    def lose(self, layers: Iterable[str]) -> None:
        """These layers cannot be fetched: of records with any of them only the key is left."""
        lost = set(layers)
        for key, record in self.records.items():
            if record.result is not None and any(layer.id in lost for layer in record.result.layers):
                self.records[key] = ImportedRecord(record.partial, None)

    def keep(self, records: Records, is_here: Callable[[BuiltLayer], bool]) -> None:
        """When the build is over, and its layers are pinned still: writes down what it has used. A layer that
        was never fetched may be gone tomorrow, so of a record with such a one only the key is kept."""
        for key in self.used:
            record = self.records[key]
            here = record.result is not None and all(is_here(layer) for layer in record.result.layers)
            records.add_imported(key, record.partial, record.result if here else None, "imported")
        for key in self.asked:
            records.note_content(key, self.contents[key])

    def over(self, records: Records) -> RecordLookup:
        """Both as one, those of this engine first."""
        return _Both(records, self) if self.records else records


class _Both:
    """The engine's records; what they do not have, from an import."""

    def __init__(self, own: Records, imported: ImportedCache) -> None:
        self._own = own
        self._imported = imported
        self._partials = {record.partial for record in imported.records.values()}

    def find(self, key: str) -> Record | None:
        found = self._own.find(key)
        imported = self._imported.records.get(key)
        if imported is None or (found is not None and (found.result is not None or imported.result is None)):
            return found
        return Record(key, key, key, imported.result, "imported", "regular")

    def intact(self, record: Record) -> bool:
        return self._own.intact(record)

    def may_match(self, partial: str) -> bool:
        return partial in self._partials or self._own.may_match(partial)

    def content(self, key: str) -> str | None:
        digest = self._own.content(key)
        if digest is None and (digest := self._imported.contents.get(key)) is not None:
            self._imported.asked.add(key)
        return digest

    def note_content(self, key: str, digest: str) -> None:
        self._own.note_content(key, digest)

    def used(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self._imported.used.update(self._imported.records.keys() & keys)
        self._own.used(keys)
