"""Layers on disk: deterministic, the same whatever form they have, and what the kernel makes of them."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from pathlib import Path

import pytest

from corten.build.context import ahead
from corten.build.context.model import SourceTree
from corten.build.context.selection_digest import digest_selection
from corten.build.context.stat_cache import StatCache
from corten.build.files import writing
from corten.build.files.model import WrittenLayer
from corten.build.graph import Copy, MakeDirectory, WriteFile
from corten.errors import Conflict, InvalidArgument, NoSpace, Unsupported
from corten.oci.digest import chain_ids
from corten.snapshot import Layer
from corten.snapshot.comparison import difference
from corten.snapshot.erofs.mounts import LayerMounts
from corten.snapshot.erofs_snapshotter import ErofsSnapshotter
from tests.unit.build.context.trees import plant, source
from tests.unit.build.files.layers import Maker, Written

CONTEXT = {
    "small": "x",
    "empty": "",
    "dir/": 0o711,
    "dir/large": os.urandom(200_001),
    "dir/larger": os.urandom(3_000_001),
    "dir/linked": "= dir/large",
    "dir/link": "-> large",
    ("n" * 150): "long",
    "block": b"x" * 4096,
}


@pytest.fixture
def context(tmp_path: Path) -> SourceTree:
    return source(plant(tmp_path / "context", CONTEXT))


def layer(written: Written) -> WrittenLayer:
    assert isinstance(written.layer, WrittenLayer)
    return written.layer


EVERYTHING = Copy(1, "/", "/app/")


def test_the_diff_id_is_the_tars_digest(make: Maker, context: SourceTree) -> None:
    made = make(EVERYTHING, context)
    assert layer(made).diff_id == "sha256:" + hashlib.sha256(made.tar).hexdigest()
    assert layer(made).tar_size == len(made.tar)
    assert layer(made).size == 1 + 200_001 + 3_000_001 + 4 + 4096
    assert layer(made).inodes == 9


def test_the_same_input_gives_the_same_bytes(make: Maker, context: SourceTree, tmp_path: Path) -> None:
    first = make(EVERYTHING, context)
    links = {name: value for name, value in CONTEXT.items() if str(value).startswith("= ")}
    files = {name: value for name, value in reversed(CONTEXT.items()) if name not in links}
    again = plant(tmp_path / "again", files | links)
    for path in again.rglob("*"):
        os.utime(path, (1, 2), follow_symlinks=False)
    assert make(EVERYTHING, source(again)).tar == first.tar


def test_times_become_the_epoch(make: Maker, context: SourceTree, tmp_path: Path) -> None:
    image = source(plant(tmp_path / "image", {"app/": 0o755}))
    made = make(
        [EVERYTHING, WriteFile("/app/w", "w", b"x"), MakeDirectory("/x")], context, image=image, epoch=1234
    )
    with tarfile.open(fileobj=io.BytesIO(made.tar)) as tar:
        assert {info.mtime for info in tar} == {1234}


def test_times_may_stay(make: Maker, context: SourceTree, tmp_path: Path) -> None:
    os.utime(tmp_path / "context/small", ns=(0, 1_234_567_890_123_456_789))
    image = plant(tmp_path / "image", {"app/": 0o755})
    os.utime(image / "app", ns=(0, 77_000_000_000))
    made = make(EVERYTHING, context, image=source(image), epoch=None)
    with tarfile.open(fileobj=io.BytesIO(made.tar)) as tar:
        assert tar.getmember("app/small").pax_headers["mtime"] == "1234567890.123456789"
        assert tar.getmember("app").mtime == 77


def test_the_contents_digest_comes_along(make: Maker, context: SourceTree) -> None:
    copies = [EVERYTHING, Copy(1, "dir", "/other/", exclude=("large",)), Copy(1, "*l*", "/third/")]
    made = make(copies, context)
    assert layer(made).selections == tuple(digest_selection(context, copy) for copy in copies)


def test_each_file_is_opened_once(
    make: Maker, context: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = ahead.open_file

    def open_file(directory: int, name: str) -> int:
        opened.append(name)
        return real(directory, name)

    monkeypatch.setattr(ahead, "open_file", open_file)
    make(EVERYTHING, context)
    assert sorted(opened) == sorted(["small", "empty", "large", "larger", "n" * 150, "block"])


def test_what_was_read_is_known_afterwards(make: Maker, context: SourceTree, tmp_path: Path) -> None:
    for path in (tmp_path / "context").rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    time.sleep(1.1)
    cache = StatCache(tmp_path / "cache")
    tree = source(tmp_path / "context", contents=cache)
    made = make(EVERYTHING, tree)
    cache.save()
    again = source(tmp_path / "context", contents=StatCache(tmp_path / "cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corten.build.context.ahead.open_file", None)
        assert digest_selection(again, EVERYTHING) == layer(made).selections[0]


def test_large_files_lie_at_whole_blocks(make: Maker, context: SourceTree) -> None:
    with tarfile.open(fileobj=io.BytesIO(make(EVERYTHING, context).tar)) as tar:
        offsets = {info.name: info.offset_data % 4096 for info in tar if info.isreg() and info.size >= 65536}
    assert offsets == {"app/dir/large": 0, "app/dir/larger": 0}


def test_holes_are_zeros_in_the_tar_and_holes_on_disk(make: Maker, tmp_path: Path) -> None:
    sparse = tmp_path / "context/sparse"
    sparse.parent.mkdir()
    with open(sparse, "wb") as file:
        file.truncate(30_000_000)
        file.seek(9_999_999)
        file.write(b"middle")
    dense = tmp_path / "dense/sparse"
    dense.parent.mkdir()
    dense.write_bytes(sparse.read_bytes())
    made = make(EVERYTHING, source(tmp_path / "context"))
    assert made.tar == make(EVERYTHING, source(tmp_path / "dense")).tar
    assert layer(made).selections == make(EVERYTHING, source(tmp_path / "dense")).layer.selections
    if sparse.stat().st_blocks * 512 < 10_000_000:
        assert (made.directory / "layer.tar").stat().st_blocks * 512 < 15_000_000


def test_unpacked_layers_are_what_the_tar_says(make: Maker, context: SourceTree, tmp_path: Path) -> None:
    made = make(EVERYTHING, context)
    app = made.directory / "fs/app"
    assert (app / "dir/larger").read_bytes() == (tmp_path / "context/dir/larger").read_bytes()
    assert (app / "dir").stat().st_mode & 0o7777 == 0o711
    assert (app / "dir/linked").stat().st_ino == (app / "dir/large").stat().st_ino
    assert os.readlink(app / "dir/link") == "large"
    assert (app / "small").stat().st_mtime == 0


def test_the_root_looks_like_the_one_below(make: Maker, tmp_path: Path) -> None:
    image = plant(tmp_path / "image", {"f": "x"})
    image.chmod(0o1751)
    os.utime(image, ns=(0, 5_000_000_000))
    made = make(WriteFile("/g", "g", b""), image=source(image))
    status = (made.directory / "fs").stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o1751, 5)


@pytest.fixture
def erofs(tmp_path: Path) -> ErofsSnapshotter:
    try:
        return ErofsSnapshotter(tmp_path / "erofs")
    except Unsupported as error:
        pytest.skip(error.message)


def test_an_image_has_the_same(
    make: Maker, erofs: ErofsSnapshotter, context: SourceTree, tmp_path: Path
) -> None:
    image = plant(tmp_path / "image", {"f": "x", "app/keep": "y"})
    image.chmod(0o1751)
    made = Maker(tmp_path, erofs)(EVERYTHING, context, image=source(image))
    assert made.tar == make(EVERYTHING, context, image=source(image)).tar
    mounts = LayerMounts(erofs._support)
    try:
        root = Path(mounts.path("layer", made.directory))
        assert root.stat().st_mode & 0o7777 == 0o1751
        for name in ("small", "empty", "dir/large", "dir/larger", "n" * 150, "block"):
            assert (root / "app" / name).read_bytes() == (tmp_path / "context" / name).read_bytes()
        assert (root / "app/dir/linked").stat().st_nlink == 2
        assert os.readlink(root / "app/dir/link") == "large"
        assert (root / "app/dir/larger").stat().st_blksize == 4096
        assert sorted(path.name for path in (root / "app").iterdir()) == sorted(
            ["small", "empty", "dir", "n" * 150, "block"]
        )
    finally:
        mounts.close()


def test_an_image_can_be_made_again_from_its_tar(
    erofs: ErofsSnapshotter, context: SourceTree, tmp_path: Path
) -> None:
    image = plant(tmp_path / "image", {"app/": 0o755})
    image.chmod(0o1751)
    made = Maker(tmp_path, erofs)(EVERYTHING, context, image=source(image))
    chain = chain_ids([layer(made).diff_id])[0]
    blob = str(made.directory / "layer.tar")
    placed = Layer(chain, layer(made).diff_id, blob, layer(made).diff_id, verified=True)
    erofs.place(made.directory, placed, layer(made).size, layer(made).inodes, [])
    maker = erofs.maker(chain)
    again = Layer(
        chain,
        layer(made).diff_id,
        str(erofs.directory(chain) / "layer.tar"),
        layer(made).diff_id,
        verified=True,
    )
    with maker.session() as session:
        staged = session.remake(again, [str(image)])
        assert difference(erofs.directory(chain), staged.directory, maker.parts) == ""


def test_an_image_of_an_opaque_directory(make: Maker, erofs: ErofsSnapshotter, tmp_path: Path) -> None:
    from tests.unit.snapshot.archives import directory, member, tar_of

    archive = tar_of([member("x", b"file"), directory("x/"), member("x/new", b"2")])
    context = source(plant(tmp_path / "context", {"a.tar": archive}))
    image = source(plant(tmp_path / "image", {"x/old": "1"}))
    made = Maker(tmp_path, erofs)(Copy(1, "a.tar", "/", unpack=True), context, image=image)
    mounts = LayerMounts(erofs._support)
    try:
        root = mounts.path("layer", made.directory)
        assert os.listdir(f"{root}/x") == ["new"]
        assert os.getxattr(f"{root}/x", "trusted.overlay.opaque") == b"y"
    finally:
        mounts.close()


# -- what goes wrong


@pytest.mark.parametrize("name", ["small", "dir/larger"])
def test_what_changes_while_it_is_copied(
    make: Maker, context: SourceTree, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "context" / name
    real = ahead.open_file

    def open_file(directory: int, own: str) -> int:
        fd = real(directory, own)
        if own == victim.name:
            with victim.open("ab") as file:
                file.write(b"more")
        return fd

    monkeypatch.setattr(ahead, "open_file", open_file)
    with pytest.raises(Conflict, match=f"'{name}' in the build context changed while it was read"):
        make(EVERYTHING, context)


def test_a_file_that_is_cut_short_while_it_is_copied(
    make: Maker, context: SourceTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "context/dir/larger"
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        os.truncate(victim, 100)
        return real(fd, size, offset)

    monkeypatch.setattr(writing.os, "pread", pread)
    with pytest.raises(Conflict, match="'dir/larger' in the build context changed"):
        make(EVERYTHING, context)


def test_a_full_disk(make: Maker, context: SourceTree, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("corten.build.files.layer_tar.os.write", write)
    with pytest.raises(NoSpace, match="cannot write the layer: the disk is full"):
        make(EVERYTHING, context)


def test_it_can_be_stopped(make: Maker, context: SourceTree, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    calls = []

    def stop() -> None:
        calls.append(True)
        if len(calls) > 3:
            raise Stopped

    from corten.build.files.writer import FileLayerWriter
    from corten.build.graph import FileOperation

    before = len(os.listdir("/proc/self/fd"))
    target = make.snapshotter.new_staging()
    with pytest.raises(Stopped):
        FileLayerWriter(make.snapshotter).write(
            FileOperation((EVERYTHING,)), (None, context), target, epoch=0, stop=stop
        )
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_stays_open(make: Maker, context: SourceTree) -> None:
    make(EVERYTHING, context)
    before = len(os.listdir("/proc/self/fd"))
    make(EVERYTHING, context)
    assert len(os.listdir("/proc/self/fd")) == before


def test_paths_that_are_too_long(make: Maker, tmp_path: Path) -> None:
    context = source(plant(tmp_path / "context", {"f": "x"}))
    with pytest.raises(InvalidArgument, match="too long a path for a layer"):
        make(Copy(1, "f", "/" + "d" * 200 + ("/" + "d" * 200) * 20 + "/"), context)
