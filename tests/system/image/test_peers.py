"""Archives in both directions with skopeo, podman, buildah and umoci; what they see in the content store."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.image.bootstrap import bootstrap
from corten.image.model import Commit
from corten.image.store import ImageStore, open_stream
from corten.oci.platform import host_platform
from tests.unit.image.images import docker_archive, layer_of, make_store
from tests.unit.snapshot.archives import member, tar_of

pytestmark = pytest.mark.root


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(*command: object, **options: object) -> str:
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload]
    assert result.returncode == 0, result.stderr
    return str(result.stdout)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root")
    store.platform = host_platform()
    yield store
    store.close()


@pytest.fixture
def two_layers(store: ImageStore, tmp_path: Path) -> ImageStore:
    """busybox, and app:1 with a layer of its own on top."""
    bootstrap(store, "busybox")
    base = store.resolve("busybox")
    (tmp_path / "upper/etc").mkdir(parents=True)
    (tmp_path / "upper/etc/app").write_text("app")
    store.commit(
        Commit(base.id, str(tmp_path / "upper"), store.lowers(base), names=["app:1"], changes=["CMD app"])
    )
    return store


def save(store: ImageStore, names: list[str], path: Path, format: str = "docker-archive") -> Path:
    with path.open("wb") as file:
        store.save(names, file, format=format)
    return path


def load(store: ImageStore, path: Path) -> list[tuple[str, ...]]:
    with open_stream(str(path)) as stream:
        return [loaded.names for loaded in store.load(stream)]


def podman(short_tmp: Path, *words: object) -> str:
    where = ("--root", short_tmp / "s", "--runroot", short_tmp / "r", "--storage-driver", "vfs")
    return run("podman", *where, *words)


@needs("skopeo")
@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_skopeo_reads_what_corten_saves(two_layers: ImageStore, tmp_path: Path, format: str) -> None:
    path = save(two_layers, ["app:1"], tmp_path / "a.tar", format)
    config = json.loads(run("skopeo", "inspect", "--config", f"{format}:{path}"))
    assert config["config"]["Cmd"] == ["/bin/sh", "-c", "app"]
    assert config["rootfs"]["diff_ids"] == list(two_layers.resolve("app:1").config.diff_ids)
    run("skopeo", "copy", "-q", f"{format}:{path}", f"dir:{tmp_path / 'out'}")


@needs("skopeo")
def test_skopeo_finds_one_of_several_images(two_layers: ImageStore, tmp_path: Path) -> None:
    path = save(two_layers, ["app:1", "busybox"], tmp_path / "a.tar")
    config = json.loads(run("skopeo", "inspect", "--config", f"docker-archive:{path}:busybox:latest"))
    assert len(config["rootfs"]["diff_ids"]) == 1


@needs("podman")
def test_podman_loads_what_corten_saves(two_layers: ImageStore, tmp_path: Path, short_tmp: Path) -> None:
    path = save(two_layers, ["app:1", "busybox"], tmp_path / "a.tar")
    podman(short_tmp, "load", "-q", "-i", path)
    images = json.loads(podman(short_tmp, "images", "--format", "json"))
    ids = {f"sha256:{image['Id']}" for image in images}
    assert ids == {two_layers.resolve("app:1").id, two_layers.resolve("busybox").id}
    names = {name for image in images for name in image.get("Names") or ()}
    assert {name.rpartition("/")[2] for name in names} == {"app:1", "busybox:latest"}


@needs("podman")
@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_corten_loads_what_podman_saves(
    store: ImageStore, tmp_path: Path, short_tmp: Path, format: str
) -> None:
    (tmp_path / "in.tar").write_bytes(
        docker_archive([layer_of("a"), layer_of("b")], ["docker.io/library/x:1"])
    )
    podman(short_tmp, "load", "-q", "-i", tmp_path / "in.tar")
    podman(short_tmp, "save", "-q", "--format", format, "-o", tmp_path / "out.tar", "docker.io/library/x:1")
    assert load(store, tmp_path / "out.tar") == [("x:1",)]
    image = store.resolve("x:1")
    assert [sorted(p.name for p in Path(lower).iterdir()) for lower in store.lowers(image)] == [["b"], ["a"]]


@needs("skopeo")
@pytest.mark.parametrize("target", ["docker-archive", "oci-archive"])
def test_corten_loads_what_skopeo_writes(two_layers: ImageStore, tmp_path: Path, target: str) -> None:
    path = save(two_layers, ["app:1"], tmp_path / "a.tar")
    run("skopeo", "copy", "-q", f"docker-archive:{path}", f"{target}:{tmp_path / 'b.tar'}:other:2")
    image_id = two_layers.resolve("app:1").id
    two_layers.remove("app:1")
    assert load(two_layers, tmp_path / "b.tar") == [("other:2",)]
    assert two_layers.resolve("other:2").config.diff_ids[1:] and two_layers.resolve("other:2").size > 0
    if target == "docker-archive":
        assert two_layers.resolve("other:2").id == image_id


@needs("skopeo", "umoci")
def test_the_content_store_is_a_layout_that_others_read(two_layers: ImageStore, tmp_path: Path) -> None:
    layout = two_layers.content.root
    assert (
        json.loads(run("skopeo", "inspect", f"oci:{layout}:app:1"))["Digest"]
        == two_layers.resolve("app:1").manifest.digest
    )
    assert run("umoci", "ls", "--layout", layout).split() == ["app:1", "busybox:latest"]
    run("skopeo", "copy", "-q", f"oci:{layout}:app:1", f"oci:{tmp_path / 'copy'}:t")
    run("umoci", "raw", "unpack", "--image", f"{tmp_path / 'copy'}:t", tmp_path / "rootfs")
    assert (tmp_path / "rootfs/etc/app").read_text() == "app"
    assert (tmp_path / "rootfs/bin/busybox").read_bytes()[:4] == b"\x7fELF"
    assert two_layers.load_directory(str(tmp_path / "copy"))[0].id == two_layers.resolve("app:1").id


@needs("buildah")
def test_corten_loads_what_buildah_commits(store: ImageStore, tmp_path: Path) -> None:
    where = ("--root", tmp_path / "buildah", "--runroot", tmp_path / "buildah-run", "--storage-driver", "vfs")
    (tmp_path / "layer.tar").write_bytes(tar_of([member("hello", b"world", mode=0o640)]))
    name = run("buildah", *where, "from", "scratch").strip()
    run("buildah", *where, "add", name, tmp_path / "layer.tar", "/")
    run("buildah", *where, "config", "--entrypoint", '["/hello"]', name)
    run("buildah", *where, "commit", "-q", name, f"oci-archive:{tmp_path / 'b.tar'}:built:1")
    assert load(store, tmp_path / "b.tar") == [("built:1",)]
    image = store.resolve("built:1")
    assert image.config.run.entrypoint == ["/hello"]
    assert (Path(store.lowers(image)[0]) / "hello").stat().st_mode & 0o777 == 0o640


@needs("skopeo")
def test_docker_schema_2_manifests(two_layers: ImageStore, tmp_path: Path) -> None:
    path = save(two_layers, ["app:1"], tmp_path / "a.tar")
    run("skopeo", "copy", "-q", "--format", "v2s2", f"docker-archive:{path}", f"dir:{tmp_path / 'd'}")
    manifest = json.loads((tmp_path / "d/manifest.json").read_text())
    assert manifest["mediaType"].startswith("application/vnd.docker")


def test_saving_to_a_stream_that_breaks(two_layers: ImageStore) -> None:
    class Broken(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        two_layers.save(["app:1"], Broken())
    assert two_layers.resolve("app:1").repo_tags == ("app:1",)
