"""`rmi` and `image prune` by Docker's rules."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import Conflict, InvalidArgument, NotFound
from corten.image.model import Commit, ContainerUse, Image, Removed
from corten.image.registrar import ImagePlan
from corten.image.store import ImageStore
from corten.image.tables import NameRow
from tests.unit.image.images import FakeUsers, docker_archive, everything, layer_of, load, make_store

BASE = layer_of("base")


@pytest.fixture
def users() -> FakeUsers:
    return FakeUsers()


@pytest.fixture
def store(tmp_path: Path, users: FakeUsers) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root", users)
    yield store
    store.close()


def told(removed: list[Removed]) -> list[str]:
    return [f"Untagged: {item.untagged}" if item.untagged else f"Deleted: {item.deleted}" for item in removed]


def test_the_last_name_takes_the_image_with_it(store: ImageStore) -> None:
    (image_id,) = load(store, docker_archive([BASE]))
    chain = store.resolve(image_id).chain
    assert told(store.remove("app:1")) == ["Untagged: app:1", f"Deleted: {image_id}", f"Deleted: {chain[0]}"]
    assert everything(store) == ([], [], [])
    assert store.content.read_index().manifests == ()
    with pytest.raises(NotFound, match="No such image: app:1"):
        store.remove("app:1")


def test_another_name_keeps_it(store: ImageStore) -> None:
    (image_id,) = load(store, docker_archive([BASE], ["app:1", "app:2"]))
    assert told(store.remove("app:1")) == ["Untagged: app:1"]
    assert store.resolve("app:2").id == image_id


def test_by_id_with_several_names(store: ImageStore) -> None:
    (image_id,) = load(store, docker_archive([BASE], ["app:1", "other:1"]))
    with pytest.raises(Conflict, match=r"must be forced\) - image is referenced in multiple repositories"):
        store.remove(image_id[7:19])
    assert len(store.resolve(image_id).repo_tags) == 2
    assert told(store.remove(image_id[7:19], force=True))[:3] == [
        "Untagged: app:1",
        "Untagged: other:1",
        f"Deleted: {image_id}",
    ]


def test_by_id_with_one_name(store: ImageStore) -> None:
    (image_id,) = load(store, docker_archive([BASE]))
    assert told(store.remove(image_id))[:2] == ["Untagged: app:1", f"Deleted: {image_id}"]


def test_a_container_keeps_its_image(store: ImageStore, users: FakeUsers) -> None:
    (image_id,) = load(store, docker_archive([BASE]))
    users.containers[image_id] = [ContainerUse("c" * 64, running=False)]
    with pytest.raises(
        Conflict,
        match=r"unable to remove repository reference 'app:1' \(must force\) - container cccccccccccc",
    ):
        store.remove("app:1")
    with pytest.raises(Conflict, match=r"must be forced\) - image is being used by stopped container"):
        store.remove(image_id)
    assert store.resolve("app:1").id == image_id
    users.containers[image_id] = [ContainerUse("c" * 64, running=True)]
    with pytest.raises(Conflict, match=r"cannot be forced\) - image is being used by running container"):
        store.remove(image_id, force=True)
    assert store.resolve("app:1").repo_tags == ("app:1",)


def test_removed_by_force_it_lives_on_for_its_container(store: ImageStore, users: FakeUsers) -> None:
    (image_id,) = load(store, docker_archive([BASE]))
    image = store.resolve(image_id)
    users.containers[image_id] = [ContainerUse("c" * 64, running=False)]
    assert f"Deleted: {image_id}" in told(store.remove("app:1", force=True))
    with pytest.raises(NotFound):
        store.resolve(image_id)
    assert store.list(all=True) == []
    assert store.lowers(store.of_container(image_id)) == store.lowers(image)
    store.collect()
    assert store.lowers(store.of_container(image_id)) == store.lowers(image)
    users.containers.clear()
    store.collect()
    assert everything(store) == ([], [], [])


def test_loading_makes_a_hidden_image_visible_again(store: ImageStore, users: FakeUsers) -> None:
    (image_id,) = load(store, docker_archive([BASE]))
    users.containers[image_id] = [ContainerUse("c" * 64, running=False)]
    store.remove("app:1", force=True)
    load(store, docker_archive([BASE]))
    assert store.resolve("app:1").id == image_id


def commit(store: ImageStore, parent: str, tmp_path: Path, name: str = "") -> str:
    upper = tmp_path / f"upper-{name or 'none'}".replace(":", "-")
    upper.mkdir()
    (upper / "new").write_text(name)
    image = store.resolve(parent)
    names = [name] if name else []
    return store.commit(
        Commit(image.id, str(upper), store.lowers(image), names=names, comment="c", author="a")
    ).id


def test_children_keep_their_parent(store: ImageStore, tmp_path: Path) -> None:
    (parent,) = load(store, docker_archive([BASE]))
    child = commit(store, "app:1", tmp_path, "child:1")
    assert store.resolve(child).parent == parent
    with pytest.raises(Conflict, match="dependent child images"):
        store.remove(parent, force=True)
    assert told(store.remove("app:1")) == ["Untagged: app:1"]
    assert [image.id for image in store.list()] == [child]
    assert {image.id for image in store.list(all=True)} == {child, parent}
    lines = told(store.remove("child:1"))
    assert lines[:3] == ["Untagged: child:1", f"Deleted: {child}", f"Deleted: {parent}"]
    assert everything(store) == ([], [], [])


def test_without_prune_the_parent_stays(store: ImageStore, tmp_path: Path) -> None:
    (parent,) = load(store, docker_archive([BASE]))
    commit(store, "app:1", tmp_path, "child:1")
    store.remove("app:1")
    store.remove("child:1", prune=False)
    assert [image.id for image in store.list()] == [parent]


def test_prune_takes_what_has_no_name(store: ImageStore, users: FakeUsers) -> None:
    (used,) = load(store, docker_archive([layer_of("used")]))
    (dangling,) = load(store, docker_archive([layer_of("dangling")]))
    load(store, docker_archive([layer_of("named")]))
    users.containers[used] = [ContainerUse("c" * 64, running=False)]
    pruned = store.prune()
    assert pruned.removed[0].deleted == dangling
    assert pruned.reclaimed > 0
    assert {image.id for image in store.list()} == {used, store.resolve("app:1").id}
    assert store.prune().removed == ()


def test_prune_all_takes_what_nobody_uses(store: ImageStore, users: FakeUsers) -> None:
    load(store, docker_archive([layer_of("a")], ["a:1", "b:1"]))
    (used,) = load(store, docker_archive([layer_of("used")], ["used:1"]))
    users.containers[used] = [ContainerUse("c" * 64, running=True)]
    assert told(list(store.prune(filters={"dangling": ["false"]}).removed))[:2] == [
        "Untagged: a:1",
        "Untagged: b:1",
    ]
    assert [image.repo_tags for image in store.list()] == [("used:1",)]


def test_prune_filters(store: ImageStore) -> None:
    load(store, docker_archive([layer_of("a")], ["a:1"], Labels={"keep": "yes"}))
    load(store, docker_archive([layer_of("b")], ["b:1"]))
    store.prune(all=True, filters={"label!": ["keep"]})
    assert [image.repo_tags for image in store.list()] == [("a:1",)]
    assert store.prune(all=True, filters={"until": ["2000-01-01T00:00:00Z"]}).removed == ()
    with pytest.raises(InvalidArgument):
        store.prune(filters={"nonsense": ["x"]})
    assert store.prune(all=True, filters={"until": ["1h"]}).removed != ()


def test_a_prune_beside_a_load_does_not_take_what_is_about_to_have_a_name(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between an image's row and its name is nobody's."""
    record, pruning = store.registrar.record, []

    def record_and_wait(plan: ImagePlan, *, parent: str = "") -> Image:
        image = record(plan, parent=parent)
        pruning.append(threading.Thread(target=lambda: store.prune(all=False, filters={})))
        pruning[0].start()
        pruning[0].join(0.3)
        return image

    monkeypatch.setattr(store.registrar, "record", record_and_wait)
    (image_id,) = load(store, docker_archive([BASE]))
    pruning[0].join(10)
    assert store.resolve("app:1").id == image_id


def test_what_is_gone_gets_no_name(store: ImageStore) -> None:
    row = NameRow("app", "1", "sha256:" + "0" * 64, b"{}")
    for give in (
        lambda: store.registrar.tables.set_tag(row, 1),
        lambda: store.registrar.tables.set_digest(row),
    ):
        with pytest.raises(NotFound, match="has just been removed"):
            give()
    assert store.registrar.tables.tags() == store.registrar.tables.digests() == []
