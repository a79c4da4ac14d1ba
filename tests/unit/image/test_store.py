"""Finding, listing, tagging, saving, importing, committing; recovery."""

import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import ArchiveError, Conflict, InvalidArgument, NotFound
from corten.image.model import Commit
from corten.image.store import ImageStore
from corten.oci.manifest import REF_NAME
from tests.unit.image.images import docker_archive, everything, layer_of, load, make_store
from tests.unit.snapshot.archives import directory, member, tar_of, unpack

A, B = layer_of("a"), layer_of("b")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root")
    yield store
    store.close()


def test_resolve(store: ImageStore) -> None:
    (image_id,) = load(store, docker_archive([A], ["app:1", "localhost:5000/team/app"]))
    image = store.resolve(image_id)
    for name in (
        "app:1",
        "docker.io/library/app:1",
        "localhost:5000/team/app",
        image_id[7:],
        image_id[7:15],
        image_id[:15],
    ):
        assert store.resolve(name).id == image_id
    assert store.resolve(f"app@{image.manifest.digest}").id == image_id
    for name in ("app", "app:2", "other", "0" * 64, f"other@{image.manifest.digest}"):
        with pytest.raises(NotFound, match="No such image"):
            store.resolve(name)
    with pytest.raises(InvalidArgument):
        store.resolve("No Name")


def test_ambiguous_prefixes(store: ImageStore) -> None:
    ids: list[str] = []
    while len({image_id[7] for image_id in ids}) == len(ids):
        ids += load(store, docker_archive([layer_of(str(len(ids)))], []))
    with pytest.raises(Conflict, match="ambiguous"):
        store.resolve(ids[-1][7])


def test_a_name_goes_before_an_id(store: ImageStore) -> None:
    (first,) = load(store, docker_archive([A], []))
    (second,) = load(store, docker_archive([B], [first[7:13]]))
    assert store.resolve(first[7:13]).id == second


def test_tag(store: ImageStore) -> None:
    (first,) = load(store, docker_archive([A], ["a:1"]))
    (second,) = load(store, docker_archive([B], ["b:1"]))
    assert store.tag("a:1", "b", "1").repo_tags == ("a:1", "b:1")
    assert store.resolve("b:1").id == first and store.resolve(second).repo_tags == ()
    assert store.tag(second, "registry:5000/x:old", "new").repo_tags == ("registry:5000/x:new",)
    for repository, tag in (("Bad", ""), ("a", "bad tag"), ("", "x"), ("a@sha256:" + "0" * 64, "")):
        with pytest.raises(InvalidArgument):
            store.tag("a:1", repository, tag)


def test_index_json_follows_the_tags(store: ImageStore) -> None:
    load(store, docker_archive([A], ["a:1", "b:1"]))
    store.tag("a:1", "c")
    store.remove("b:1")
    entries = store.content.read_index().manifests
    assert [(entry.annotations or {})[REF_NAME] for entry in entries] == ["a:1", "c:latest"]
    assert {entry.digest for entry in entries} == {store.resolve("a:1").manifest.digest}


def test_list_and_filters(store: ImageStore) -> None:
    load(store, docker_archive([A], ["repo/a:1", "b:2"], Labels={"k": "v"}))
    (dangling,) = load(store, docker_archive([B], []))
    names = lambda **filters: [image.repo_tags for image in store.list(filters)]  # noqa: E731
    assert names(dangling=["true"]) == [()]
    assert names(dangling=["0"]) == [("b:2", "repo/a:1")]
    assert names(label=["k"]) == names(label=["k=v"]) == [("b:2", "repo/a:1")]
    assert names(label=["k=w"]) == []
    assert names(reference=["b"]) == [("b:2",)]
    assert names(reference=["*/a"]) == [("repo/a:1",)]
    assert names(reference=["*:2"]) == [("b:2",)]
    assert names(reference=["*"]) == [("b:2",)]
    assert names(before=[dangling]) == []
    with pytest.raises(InvalidArgument, match="invalid filter"):
        store.list({"x": ["y"]})
    with pytest.raises(InvalidArgument, match="invalid filter"):
        store.list({"dangling": ["maybe"]})


def saved(store: ImageStore, names: list[str], **options: str) -> bytes:
    buffer = io.BytesIO()
    store.save(names, buffer, **options)
    return buffer.getvalue()


def test_save_writes_shared_layers_once_and_the_same_bytes_each_time(store: ImageStore) -> None:
    load(store, docker_archive([A, B], ["a:1"]))
    load(store, docker_archive([A], ["b:1", "b:2"]))
    data = saved(store, ["a:1", "b"])
    assert data == saved(store, ["a:1", "b"])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert len(names) == len(set(names))
    assert [item["RepoTags"] for item in manifest] == [["a:1"], ["b:1", "b:2"]]
    assert sum(name.startswith("blobs/sha256/") for name in names) == 2 + 2 * 2


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_what_is_saved_is_loaded(store: ImageStore, tmp_path: Path, format: str) -> None:
    (image_id,) = load(store, docker_archive([A, B], ["a:1", "registry:5000/b:x"]))
    data = saved(store, ["a:1", "registry:5000/b:x"], format=format)
    other = make_store(tmp_path / "other")
    (loaded,) = other.load(io.BytesIO(data))
    assert (loaded.id, loaded.names) == (image_id, ("a:1", "registry:5000/b:x"))
    assert other.resolve("a:1").manifest == store.resolve("a:1").manifest
    other.close()


def test_saving_by_id_gives_no_name(store: ImageStore) -> None:
    (image_id,) = load(store, docker_archive([A], ["a:1"]))
    with tarfile.open(fileobj=io.BytesIO(saved(store, [image_id[7:19]]))) as tar:
        assert json.load(tar.extractfile("manifest.json"))[0]["RepoTags"] is None  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        saved(store, ["nope"])
    with pytest.raises(InvalidArgument):
        saved(store, ["a:1"], format="zip")


def test_import(store: ImageStore) -> None:
    data = tar_of([directory("bin"), member("bin/sh", b"#!")])
    changes = [
        'CMD ["sh", "-c", "x"]',
        "ENV A=1 B='2 3'",
        "EXPOSE 80 53/udp",
        "LABEL k=v",
        "WORKDIR /srv",
        "USER web",
    ]
    loaded = store.import_(io.BytesIO(data), repository="base", tag="1", message="hello", changes=changes)
    image = store.resolve("base:1")
    run = image.config.run
    assert loaded.names == ("base:1",)
    assert (run.cmd, run.env) == (["sh", "-c", "x"], ["A=1", "B=2 3"])
    assert (run.exposed_ports, run.labels) == ({"80/tcp": {}, "53/udp": {}}, {"k": "v"})
    assert (run.working_dir, run.user, image.comment) == ("/srv", "web", "hello")
    assert store.history("base:1")[0].comment == "hello"
    assert image.config.diff_ids == (image.layers[0].digest,)


@pytest.mark.parametrize(
    "data", [b"", b"no tar" * 999, tar_of([member("f", b"x" * 5000)])[:3072], tar_of([member("../f")])]
)
def test_a_bad_import_leaves_nothing(store: ImageStore, data: bytes) -> None:
    with pytest.raises(ArchiveError):
        store.import_(io.BytesIO(data), repository="bad")
    assert everything(store) == ([], [], []) and store.list(all=True) == []


@pytest.mark.parametrize(
    "change", ["FROM x", "CMD", "EXPOSE http", "ENV x", "HEALTHCHECK x", "SHELL sh", "ONBUILD FROM x"]
)
def test_bad_changes(store: ImageStore, change: str) -> None:
    with pytest.raises(InvalidArgument):
        store.import_(io.BytesIO(A), repository="bad", changes=[change])
    assert everything(store) == ([], [], [])


def test_commit(store: ImageStore, tmp_path: Path) -> None:
    load(store, docker_archive([A], ["app:1"], Cmd=["old"], Env=["A=1"]))
    base = store.resolve("app:1")
    unpack(tar_of([member(".wh.a"), directory("d", 0o700), member("d/f", b"new")]), tmp_path / "upper")
    commit = Commit(
        base.id,
        str(tmp_path / "upper"),
        store.lowers(base),
        author="me",
        comment="why",
        changes=["CMD new", "ENV B=2"],
        created_by="sh",
        names=["app:2"],
    )
    image = store.commit(commit)
    assert (image.parent, image.comment, image.config.author) == (base.id, "why", "me")
    assert image.config.run.cmd == ["/bin/sh", "-c", "new"] and image.config.run.env == ["A=1", "B=2"]
    assert image.chain[0] == base.chain[0] and len(image.chain) == 2
    assert store.resolve("app:2").repo_tags == ("app:2",)
    top = Path(store.lowers(image)[0])
    assert (top / "d/f").read_bytes() == b"new" and (top / "a").is_char_device()
    history = store.history("app:2")
    assert [(item.created_by, item.comment) for item in history] == [("sh", "why"), ("step 0", "")]
    assert (history[0].id, history[0].size, history[1].id) == (image.id, 3, "<missing>")


def test_sizes(store: ImageStore) -> None:
    load(store, docker_archive([A, B], ["x:1"]))
    load(store, docker_archive([A], ["y:1"]))
    usage = store.disk_usage()
    assert usage.layers_size == 2
    by_name = {item.image.repo_tags[0]: (item.shared, item.unique) for item in usage.images}
    assert by_name == {"x:1": (1, 1), "y:1": (1, 0)}
    assert usage.blobs_size == sum(blob.size for blob in store.content.walk())


def test_a_lost_snapshot_is_made_again_when_it_is_needed(store: ImageStore) -> None:
    load(store, docker_archive([A, B], ["x:1"]))
    image = store.resolve("x:1")
    for chain_id in image.chain:
        store.snapshotter.remove(chain_id)
    assert [os.listdir(lower) for lower in store.lowers(image)] == [["b"], ["a"]]


def test_recover(store: ImageStore, tmp_path: Path) -> None:
    load(store, docker_archive([A], ["x:1"]))
    before = everything(store)
    root = tmp_path / "root"
    store.content.add(b"a blob that no image needs")
    (root / "content/ingest/half").write_bytes(b"x")
    (root / "snapshots/.staging/half/fs").mkdir(parents=True)
    (root / "content/index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    again = make_store(root)
    again.recover()
    assert everything(again) == before
    assert len(again.content.read_index().manifests) == 1
    assert [os.listdir(lower) for lower in again.lowers(again.resolve("x:1"))] == [["a"]]
    again.close()


def test_two_loads_of_the_same_at_once(store: ImageStore) -> None:
    data = docker_archive([layer_of(*(f"f{n}" for n in range(300))), A], ["x:1"])
    errors: list[BaseException] = []

    def work() -> None:
        try:
            load(store, data)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.resolve("x:1").chain) == 2
    assert everything(store)[2] == []


def test_removing_while_loading(store: ImageStore) -> None:
    """Garbage collection keeps off what is being loaded."""
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            try:
                store.remove("x:1")
            except NotFound:
                store.collect()

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for number in range(6):
            load(store, docker_archive([layer_of(f"f{number}"), A], ["x:1"]))
    finally:
        stop.set()
        remover.join()
    store.prune(all=True)
    assert everything(store) == ([], [], [])
