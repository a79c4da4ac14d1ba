"""What every place that a build looks for results in must do: the records of an engine, and the same with an
imported cache beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.build.cache_transfer.imported import ImportedCache, ImportedRecord
from corten.build.solve.database import CacheDatabase
from corten.build.solve.keys import digest_of
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import Drafted
from corten.build.solve.records import RecordLookup, Records
from corten.build.solve.result import BuiltLayer, Result
from corten.oci.descriptor import Descriptor
from corten.oci.digest import sha256_of
from corten.oci.manifest import OCI_LAYER
from corten.snapshot.overlay import OverlaySnapshotter
from tests.unit.image.images import make_store

KEY, OTHER, PARTIAL = digest_of("key"), digest_of("other"), digest_of("partial")


class Case:
    """`lookup` over `records`."""

    def __init__(self, root: Path, *, imports: bool) -> None:
        self.store = make_store(root)
        self.database = CacheDatabase(root / "cache.db")
        self.layers = LayerStore(
            self.database, self.store.registrar, OverlaySnapshotter(root / "build/layers")
        )
        self.records = Records(self.database, self.layers)
        self.lookup: RecordLookup = self.records
        if imports:
            cache = ImportedCache()
            cache.add({digest_of("imported"): ImportedRecord(digest_of("far"), _far())}, {})
            self.lookup = cache.over(self.records)

    def result(self, text: str = "x") -> Result:
        draft = self.layers.draft()
        (draft.directory / "fs").mkdir()
        (draft.directory / "fs" / "file").write_text(text)
        return Result((self.layers.place(draft, Drafted(1, 1), KEY),))

    def add(self, key: str = KEY, **more: object) -> Result:
        result = self.result()
        fields = {"portable": key, "partial": PARTIAL, "result": result, "name": "RUN x"} | more
        self.records.add(key, **fields)  # type: ignore[arg-type]
        return result


def _far() -> Result:
    digest = sha256_of(b"far")
    blob = Descriptor(OCI_LAYER, digest, 3)
    return Result((BuiltLayer(digest, digest, blob, "registry/x", digest_of("imported")),))


@pytest.fixture(params=["engine", "engine and import"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made = Case(tmp_path / "root", imports=request.param != "engine")
    yield made
    made.layers.close()
    made.database.close()
    made.store.close()


def test_what_was_added_is_found(case: Case) -> None:
    assert case.lookup.find(KEY) is None
    assert not case.lookup.may_match(PARTIAL)
    result = case.add()
    found = case.lookup.find(KEY)
    assert found is not None
    assert (found.result, found.identity, found.portable) == (result, KEY, KEY)
    assert case.lookup.may_match(PARTIAL)
    assert case.lookup.intact(found)
    assert case.lookup.find(OTHER) is None


def test_who_was_first_stays(case: Case) -> None:
    first = case.add()
    case.add()
    found = case.lookup.find(KEY)
    assert found is not None
    assert found.result == first


def test_again_is_another_identity(case: Case) -> None:
    case.add(again=True)
    first = case.lookup.find(KEY)
    assert first is not None
    assert first.identity == KEY, "there was nothing to be told apart from"
    second = case.add(again=True)
    found = case.lookup.find(KEY)
    assert found is not None
    assert found.result == second
    assert found.identity not in (KEY, first.key)
    assert found.portable == KEY


def test_a_record_whose_layers_are_lost_is_forgotten(case: Case) -> None:
    result = case.add()
    found = case.lookup.find(KEY)
    assert found is not None
    case.layers._own.remove(f"sha256:{result.layers[0].id}")
    assert not case.lookup.intact(found)
    assert case.lookup.find(KEY) is None


def test_contents(case: Case) -> None:
    assert case.lookup.content(OTHER) is None
    case.lookup.note_content(OTHER, "sha256:1")
    case.lookup.note_content(OTHER, "sha256:2")
    assert case.lookup.content(OTHER) == "sha256:2"


def test_uses_count(case: Case) -> None:
    case.add()
    case.lookup.used([KEY, OTHER])
    case.lookup.used([KEY])
    assert case.database.all("SELECT key, uses FROM records") == [(KEY, 2)]


def test_a_key_without_a_result(case: Case) -> None:
    """Of an import: it says that there may be more, and nothing else."""
    assert case.records.add_imported(KEY, PARTIAL, None, "imported")
    assert not case.records.add_imported(KEY, PARTIAL, None, "imported")
    found = case.lookup.find(KEY)
    assert found is not None
    assert found.result is None
    assert not case.lookup.intact(found)
    assert case.lookup.may_match(PARTIAL)
    assert case.lookup.find(KEY) is not None, "it is a key still"
    result = case.add()
    found = case.lookup.find(KEY)
    assert found is not None
    assert (found.result, found.identity) == (result, KEY)
