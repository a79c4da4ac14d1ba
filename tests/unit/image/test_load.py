"""Loading: every layout that others write, and what is wrong with an archive told in one sentence."""

import bz2
import gzip
import io
import json
import lzma
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from corten.errors import ArchiveError, CortenError, IntegrityError, NotFound, Unavailable
from corten.image import archive_reader
from corten.image.archive_intake import OpenArchive
from corten.image.store import ImageStore
from corten.oci.platform import Platform
from tests.unit.image.images import (
    Layout,
    archive_of,
    config_of,
    docker_archive,
    everything,
    layer_of,
    load,
    make_store,
    sha256,
)
from tests.unit.snapshot.archives import member, tar_of

ONE, TWO = layer_of("one"), layer_of("two", "dir/three")


@pytest.fixture(params=["stream", "file", "file, in workers"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ImageStore]:
    """Archives come as a stream, or as an open file, in which they begin somewhere; the last does with small
    layers what is done with large ones."""
    store = make_store(tmp_path / "root")
    if request.param != "stream":
        monkeypatch.setattr(store, "load", partial(load_from_file, store.load, tmp_path / "archive"))
    if "workers" in request.param:
        monkeypatch.setattr(archive_reader, "_SMALL", 0)
    yield store
    store.close()


def load_from_file(load: Callable[..., Any], path: Path, source: io.BytesIO, **options: Any) -> Any:
    path.write_bytes(b"before" + source.read())
    with path.open("rb", buffering=0) as file:
        return load(OpenArchive(file.fileno(), len(b"before"), threading.Event()), **options)


def merged(store: ImageStore, name: str) -> list[str]:
    return sorted(
        str(path.relative_to(lower))
        for lower in store.lowers(store.resolve(name))
        for path in Path(lower).rglob("*")
        if path.is_file()
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress, bz2.compress, lzma.compress])
def test_docker_archive(store: ImageStore, pack: Callable[[bytes], bytes]) -> None:
    (loaded,) = store.load(io.BytesIO(pack(docker_archive([ONE, TWO], ["app:1", "registry:5000/app"]))))
    image = store.resolve("app:1")
    assert loaded.id == image.id == sha256(config_of([ONE, TWO]))
    assert loaded.names == ("app:1", "registry:5000/app:latest")
    assert image.repo_tags == ("app:1", "registry:5000/app:latest")
    assert merged(store, "app:1") == ["dir/three", "one", "two"]
    assert image.size == len("one") + len("two") + len("dir/three")
    assert everything(store)[2] == []


def test_docker_archive_with_links_between_layers(store: ImageStore) -> None:
    config = config_of([ONE, ONE])
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar"]}]
    files = {"a/layer.tar": ONE, "c.json": config, "manifest.json": json.dumps(manifest).encode()}
    (image_id,) = load(store, archive_of(files, {"b/layer.tar": "../a/layer.tar"}))
    assert len(store.resolve(image_id).chain) == 2


def test_compressed_layers_in_a_docker_archive(store: ImageStore) -> None:
    config = config_of([ONE])
    manifest = [{"Config": "config.json", "RepoTags": ["x"], "Layers": ["l.tar.gz"]}]
    files = {
        "l.tar.gz": gzip.compress(ONE),
        "config.json": config,
        "manifest.json": json.dumps(manifest).encode(),
    }
    load(store, archive_of(files))
    assert merged(store, "x") == ["one"]
    assert store.resolve("x").layers[0].media_type.endswith("+gzip")


@pytest.mark.parametrize("kind", ["tar", "tar+gzip", "tar+zstd"])
def test_oci_archive(store: ImageStore, kind: str) -> None:
    pack = {"tar": bytes, "tar+gzip": gzip.compress, "tar+zstd": zstandard.compress}[kind]
    layout = Layout()
    entry = layout.image([pack(ONE)], config=config_of([ONE]), kind=kind)
    layout.name(entry, "busybox:1")
    load(store, layout.archive())
    image = store.resolve("busybox:1")
    assert image.manifest.digest == entry["digest"]
    assert merged(store, "busybox:1") == ["one"]


def test_oci_layout_directory(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    layout.name(layout.image([ONE]), "a:1")
    for name, data in layout.files.items():
        (tmp_path / "l" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "l" / name).write_bytes(data)
    index = {"schemaVersion": 2, "manifests": layout.entries}
    (tmp_path / "l/index.json").write_text(json.dumps(index))
    (loaded,) = store.load_directory(str(tmp_path / "l"))
    assert loaded.names == ("a:1",)
    with pytest.raises(ArchiveError, match="no OCI image layout"):
        store.load_directory(str(tmp_path))


def test_a_bare_tag_is_no_name(store: ImageStore) -> None:
    layout = Layout()
    layout.name(layout.image([ONE]), "latest")
    (loaded,) = store.load(io.BytesIO(layout.archive()))
    assert loaded.names == () and store.resolve(loaded.id).repo_tags == ()


def test_an_index_gives_the_hosts_platform_and_keeps_the_others_blobs(store: ImageStore) -> None:
    layout = Layout()
    mine = layout.image([ONE]) | {"platform": {"architecture": "amd64", "os": "linux"}}
    other = layout.image([TWO]) | {"platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}}
    absent = {
        "mediaType": mine["mediaType"],
        "digest": "sha256:" + "0" * 64,
        "size": 9,
        "platform": {"architecture": "s390x", "os": "linux"},
    }
    layout.name(layout.index([other, absent, mine]), "multi:1")
    data = layout.archive()
    load(store, data)
    assert merged(store, "multi:1") == ["one"]
    assert store.content.contains(sha256(TWO))
    assert len(list(store.snapshotter.walk())) == 1
    store.load(io.BytesIO(data), platform=Platform.parse("linux/arm64"))
    assert merged(store, "multi:1") == ["dir/three", "two"]
    with pytest.raises(NotFound, match="linux/amd64"):
        store.load(io.BytesIO(data), platform=Platform.parse("linux/riscv64"))


def test_docker_25_archives_take_names_from_manifest_json(store: ImageStore) -> None:
    layout = Layout()
    entry = layout.image([ONE])
    layout.entries.append(entry)
    manifest = [
        {
            "Config": "blobs/" + sha256(config_of([ONE])).replace(":", "/"),
            "RepoTags": ["named:1"],
            "Layers": [],
        }
    ]
    load(store, layout.archive(**{"manifest.json": json.dumps(manifest).encode()}))
    assert store.resolve("named:1").manifest.digest == entry["digest"]


def test_a_layer_that_two_images_share_is_kept_once(store: ImageStore) -> None:
    load(store, docker_archive([ONE, TWO], ["a:1"]))
    load(store, docker_archive([ONE, layer_of("other")], ["b:1"]))
    assert store.lowers(store.resolve("a:1"))[1] == store.lowers(store.resolve("b:1"))[1]
    assert len(list(store.snapshotter.walk())) == 3


def test_loading_again_changes_nothing(store: ImageStore) -> None:
    data = docker_archive([ONE, TWO])
    load(store, data)
    before = everything(store)
    load(store, data)
    assert everything(store) == before


def test_a_tag_moves_to_what_is_loaded(store: ImageStore) -> None:
    (first,) = load(store, docker_archive([ONE]))
    (second,) = load(store, docker_archive([TWO]))
    assert store.resolve("app:1").id == second
    assert store.resolve(first).repo_tags == ()


def broken_archives() -> dict[str, bytes]:
    config = config_of([ONE])
    named = sha256(config)[7:] + ".json"

    def docker(files: dict[str, bytes], layers: list[str], name: str = named) -> bytes:
        manifest = [{"Config": name, "RepoTags": ["bad:1"], "Layers": layers}]
        return archive_of({**files, "manifest.json": json.dumps(manifest).encode()})

    lying = Layout()
    lying.name(lying.image([ONE]), "bad:1")
    lying.files["blobs/" + sha256(ONE).replace(":", "/")] = ONE + b"x"
    missing = Layout()
    missing.name(missing.image([ONE]), "bad:1")
    del missing.files["blobs/" + sha256(ONE).replace(":", "/")]
    size = Layout()
    size.name(size.image([ONE]) | {"size": 3}, "bad:1")
    return {
        "empty": b"",
        "no tar": b"hello" * 1000,
        "no image": archive_of({"etc/passwd": b"root"}),
        "no entry": archive_of({"manifest.json": b"[]"}),
        "bad json": archive_of({"manifest.json": b"{"}),
        "layer is missing": docker({named: config}, ["l.tar"]),
        "config is missing": docker({"l.tar": ONE}, ["l.tar"]),
        "fewer layers": docker({named: config}, []),
        "another layer": docker({named: config, "l.tar": TWO}, ["l.tar"]),
        "layer is no tar": docker({named: config, "l.tar": b"x" * 3000}, ["l.tar"]),
        "another config": docker({"0" * 64 + ".json": config, "l.tar": ONE}, ["l.tar"], "0" * 64 + ".json"),
        "config is no json": docker({"c.json": b"x", "l.tar": ONE}, ["l.tar"], "c.json"),
        "bad name": docker_archive([ONE], ["Not A Name"]),
        "dot dot": archive_of({"../manifest.json": b"[]"}),
        "links go round": archive_of({}, {"manifest.json": "index.json", "index.json": "manifest.json"}),
        "lying blob": lying.archive(),
        "missing blob": missing.archive(),
        "lying size": size.archive(),
        "truncated": docker_archive([ONE, TWO])[:8192],
        "truncated gzip": gzip.compress(docker_archive([ONE, TWO]))[:-20],
    }


@pytest.mark.parametrize("what", broken_archives())
def test_broken_archives_leave_nothing(store: ImageStore, what: str) -> None:
    load(store, docker_archive([layer_of("kept")], ["kept:1"]))
    before = everything(store)
    with pytest.raises(CortenError) as caught:
        load(store, broken_archives()[what])
    assert "\n" not in caught.value.message
    assert everything(store) == before
    assert [image.repo_tags for image in store.list(all=True)] == [("kept:1",)]


def test_of_two_images_one_broken_neither_is_named(store: ImageStore) -> None:
    good, bad = config_of([ONE]), config_of([TWO])
    manifest = [
        {"Config": "good.json", "RepoTags": ["good:1"], "Layers": ["one.tar"]},
        {"Config": "bad.json", "RepoTags": ["bad:1"], "Layers": ["one.tar"]},
    ]
    files = {
        "one.tar": ONE,
        "good.json": good,
        "bad.json": bad,
        "manifest.json": json.dumps(manifest).encode(),
    }
    with pytest.raises(IntegrityError, match="diff ID"):
        load(store, archive_of(files))
    with pytest.raises(NotFound):
        store.resolve("good:1")


def test_truncation_at_every_block_is_an_error_that_leaves_nothing(store: ImageStore) -> None:
    data = docker_archive([ONE])
    end = len(data.rstrip(b"\0"))
    end += -end % 512
    for size in range(0, end + 1, 512 * 3):
        with pytest.raises(CortenError):
            load(store, data[:size])
    assert everything(store) == ([], [], [])


def test_big_layers_of_a_truncated_archive_leave_nothing(store: ImageStore) -> None:
    layers = [tar_of([member("big", bytes([n]) * 3_000_000)]) for n in (1, 2, 3)]
    data = docker_archive(layers, ["big:1"])
    for size in (5_000_000, 7_000_000, len(data.rstrip(b"\0"))):
        with pytest.raises(CortenError):
            load(store, data[:size])
        assert everything(store) == ([], [], [])


def test_big_layers_are_streamed(store: ImageStore) -> None:
    layers = [tar_of([member("big", bytes([n]) * 3_000_000)]) for n in (1, 2, 3)]
    load(store, docker_archive(layers, ["big:1"]))
    top = Path(store.lowers(store.resolve("big:1"))[0])
    assert (top / "big").read_bytes() == b"\3" * 3_000_000
    assert everything(store)[2] == []


def test_a_compressed_blob_that_is_no_layer_is_kept(store: ImageStore) -> None:
    """What another platform's image, or nobody, has: it need not be a tar."""
    layout = Layout()
    layout.name(layout.image([ONE]), "a:1")
    other = gzip.compress(os.urandom(2_000_000))
    layout.name(layout.put(other, "application/x-whatever"), "artifact:1")
    load(store, layout.archive())
    assert merged(store, "a:1") == ["one"]
    assert everything(store)[2] == []


def test_a_layer_that_is_there_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_reader, "_SMALL", 0)
    config = config_of([ONE])
    name = sha256(ONE)[7:] + ".tar"
    manifest = [{"Config": "config.json", "RepoTags": ["x:1"], "Layers": [name]}]
    files = {"config.json": config, "manifest.json": json.dumps(manifest).encode()}
    store = make_store(tmp_path / "root")
    (first,) = load_from_file(store.load, tmp_path / "a", io.BytesIO(archive_of({name: ONE, **files})))
    taken: list[object] = []
    monkeypatch.setattr(archive_reader.LayerIntake, "begin", lambda *arguments: taken.append(arguments))
    (again,) = load_from_file(store.load, tmp_path / "a", io.BytesIO(archive_of({name: TWO, **files})))
    assert again == first and not taken
    assert merged(store, "x:1") == ["one"]
    store.close()


def test_a_load_that_nobody_waits_for_leaves_nothing(tmp_path: Path) -> None:
    layers = [tar_of([member("big", bytes([n]) * 30_000_000)]) for n in (1, 2, 3)]
    path = tmp_path / "archive"
    path.write_bytes(docker_archive(layers, ["big:1"]))
    store = make_store(tmp_path / "root")
    given_up = threading.Event()
    given_up.set()
    with path.open("rb", buffering=0) as file, pytest.raises(Unavailable, match="given up"):
        store.load(OpenArchive(file.fileno(), 0, given_up))
    assert everything(store) == ([], [], [])
    store.close()
