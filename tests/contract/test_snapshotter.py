"""What every Snapshotter must do: its trees are those that GNU tar and umoci unpack from the same layers."""

import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from corten.errors import ArchiveError, IntegrityError, NotFound
from corten.oci.digest import chain_ids, sha256_of
from corten.snapshot import Layer, Snapshotter
from corten.snapshot.erofs.support import probe
from corten.snapshot.erofs_snapshotter import ErofsSnapshotter
from corten.snapshot.overlay import OverlaySnapshotter
from tests.unit.snapshot.archives import device, directory, hard_link, member, symlink, tar_of

pytestmark = pytest.mark.root

Factory = Callable[[Path], Snapshotter]
IMPLEMENTATIONS: dict[str, Factory] = {
    "overlay": OverlaySnapshotter,
    "erofs": ErofsSnapshotter,
    "erofs-tar": lambda root: ErofsSnapshotter(root, in_tar=True),
}

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000").decode("latin-1")


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Factory:
    if request.param != "overlay":
        support = probe(tmp_path)
        if support is None or (request.param == "erofs-tar" and not support.in_tar):
            pytest.skip("this kernel cannot mount such EROFS images")
    return IMPLEMENTATIONS[request.param]


@pytest.fixture
def snapshotter(make: Factory, tmp_path: Path) -> Snapshotter:
    return make(tmp_path / "snapshots")


def rich_layer() -> bytes:
    with_xattrs, data = member(
        "bin/ping", b"\x7fELF", mode=0o755, uid=0, gid=12, mtime=1_600_000_000.123456789
    )
    with_xattrs.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITY, "SCHILY.xattr.user.note": "é"}
    return tar_of(
        [
            directory("./", 0o755, mtime=1_500_000_000),
            directory("bin", 0o755, mtime=1_400_000_000.5),
            (with_xattrs, data),
            member("bin/su", b"s" * 70_000, mode=0o4755, mtime=3),
            hard_link("bin/sudo", "bin/su"),
            symlink("sbin", "bin"),
            directory("tmp", 0o1777, mtime=4),
            directory("var/mail", 0o2775, gid=8, mtime=5),
            directory("dev", mtime=6),
            device("dev/null", 1, 3),
            member("n" * 99 + "/" + "m" * 200, b"long", uid=3_000_000, gid=3_000_001),
            member("ünï cödé", b"", mode=0o600),
        ]
    )


def layers_of(tmp_path: Path, *tars: bytes, pack: Callable[[bytes], bytes] = bytes) -> list[Layer]:
    diff_ids = [sha256_of(data) for data in tars]
    layers = []
    for number, (diff_id, chain_id, data) in enumerate(zip(diff_ids, chain_ids(diff_ids), tars, strict=True)):
        blob = tmp_path / f"layer{number}-{diff_id[7:15]}"
        blob.write_bytes(pack(data))
        layers.append(Layer(chain_id, diff_id, str(blob), sha256_of(blob.read_bytes())))
    return layers


def facts(root: Path, *, skip: frozenset[str] = frozenset()) -> dict[str, tuple[object, ...]]:
    result: dict[str, tuple[object, ...]] = {}
    for path in (root, *sorted(root.rglob("*"))):
        name = str(path.relative_to(root))
        if name in skip:
            continue
        is_root = path == root  # which may be reached by a link
        status = path.stat() if is_root else path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        xattrs = {
            key: os.getxattr(path, key, follow_symlinks=is_root)
            for key in os.listxattr(path, follow_symlinks=is_root)
            if not key.startswith("trusted.overlay.")
        }
        result[name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_rdev,
            status.st_nlink if kind == stat.S_IFREG else 0,
            path.read_bytes() if kind == stat.S_IFREG else b"",
            os.readlink(path) if kind == stat.S_IFLNK else "",
            tuple(sorted(xattrs.items())),
        )
    return result


def only_tree(snapshotter: Snapshotter, layers: list[Layer]) -> Path:
    (tree,) = snapshotter.lowers([layer.chain_id for layer in layers])
    return Path(tree)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_the_tree_is_what_gnu_tar_unpacks(
    snapshotter: Snapshotter, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    layers = layers_of(tmp_path, rich_layer(), pack=pack)
    snapshotter.prepare(layers)
    gnu = tmp_path / "gnu"
    gnu.mkdir()
    (tmp_path / "t.tar").write_bytes(rich_layer())
    command = [
        "tar",
        "-xpf",
        tmp_path / "t.tar",
        "-C",
        gnu,
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
    ]
    subprocess.run(command, check=True)
    # What no entry describes, the two make as they like: an umask's directory, this moment's time.
    skip = frozenset({"var", "n" * 99})
    assert facts(only_tree(snapshotter, layers), skip=skip) == facts(gnu, skip=skip)


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
def test_the_merged_tree_is_what_umoci_unpacks(snapshotter: Snapshotter, tmp_path: Path) -> None:
    tars = (
        rich_layer(),
        tar_of(
            [
                member("bin/.wh.ping"),
                member("bin/new", b"1", mtime=9),
                directory("tmp", 0o700, mtime=10),
                symlink("l", "x"),
            ]
        ),
        tar_of(
            [
                directory("var/mail", mtime=11),
                member("var/mail/.wh..wh..opq"),
                member("var/mail/m", b"1", mtime=12),
            ]
        ),
    )
    layers = layers_of(tmp_path, *tars)
    snapshotter.prepare(layers)
    upper, work, merged = tmp_path / "upper", tmp_path / "work", tmp_path / "merged"
    for path in (upper, work, merged):
        path.mkdir()
    layout = oci_layout(tmp_path / "layout", layers, tars)
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{layout}:t", tmp_path / "umoci"],
        check=True,
        capture_output=True,
    )
    lowers = snapshotter.lowers([layer.chain_id for layer in layers])
    result = in_overlay(lowers, merged, lambda: facts(merged))
    expected = facts(tmp_path / "umoci")
    skip = {".", "bin", "var", "n" * 99}  # directories whose time a later layer's change touched there
    assert {name: fact for name, fact in result.items() if name not in skip} == {
        name: fact for name, fact in expected.items() if name not in skip
    }


def oci_layout(path: Path, layers: list[Layer], tars: tuple[bytes, ...]) -> Path:
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    kind = "application/vnd.oci.image"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), f"{kind}.config.v1+json"),
        "layers": [put(data, f"{kind}.layer.v1.tar") for data in tars],
    }
    entry = put(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "t"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return path


def in_overlay(
    lowers: tuple[str, ...], merged: Path, look: Callable[[], dict[str, tuple[object, ...]]]
) -> dict[str, tuple[object, ...]]:
    """What `look` sees with a read-only overlay mounted, in a process and a mount namespace of its own."""
    import pickle

    from corten.linux import mount as m
    from corten.linux.namespace import CLONE_NEWNS, unshare

    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            unshare(CLONE_NEWNS)
            m.mount(None, b"/", None, m.MS_PRIVATE | m.MS_REC, None)
            m.mount(
                b"overlay",
                os.fsencode(merged),
                b"overlay",
                m.MS_RDONLY,
                b"lowerdir=" + os.fsencode(":".join(lowers)),
            )
            with os.fdopen(write_end, "wb") as pipe:
                pickle.dump(look(), pipe)
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(data)


def test_implied_parents_look_like_those_below(snapshotter: Snapshotter, tmp_path: Path) -> None:
    layers = layers_of(
        tmp_path,
        tar_of([directory("./", 0o711, mtime=1), directory("a", 0o700, uid=5, gid=6, mtime=7)]),
        tar_of([member("other")]),
        tar_of([member("a/new/x")]),
    )
    snapshotter.prepare(layers)
    top = Path(snapshotter.lowers([layer.chain_id for layer in layers])[0])
    for path, expected in ((top, (0o711, 0, 1)), (top / "a", (0o700, 5, 7)), (top / "a/new", (0o755, 0, 0))):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime_ns // 10**9) == expected


def test_lowers_stand_topmost_first(snapshotter: Snapshotter, tmp_path: Path) -> None:
    layers = layers_of(tmp_path, *(tar_of([member(f"f{number}")]) for number in range(4)))
    snapshotter.prepare(layers)
    lowers = snapshotter.lowers([layer.chain_id for layer in layers])
    assert [os.listdir(lower) for lower in lowers] == [["f3"], ["f2"], ["f1"], ["f0"]]
    assert set(snapshotter.walk()) == {layer.chain_id for layer in layers}


def test_usage(snapshotter: Snapshotter, tmp_path: Path) -> None:
    layers = layers_of(tmp_path, tar_of([directory("d"), member("d/f", b"x" * 1000), hard_link("g", "d/f")]))
    snapshotter.prepare(layers)
    usage = snapshotter.usage(layers[0].chain_id)
    assert (usage.size, usage.inodes) == (1000, 2)
    with pytest.raises(NotFound):
        snapshotter.usage("sha256:" + "0" * 64)


def test_a_layer_is_unpacked_once(snapshotter: Snapshotter, tmp_path: Path) -> None:
    layers = layers_of(tmp_path, tar_of([member("base")]), tar_of([member("top")]))
    snapshotter.prepare(layers[:1])
    inode = os.stat(snapshotter.lowers([layers[0].chain_id])[0]).st_ino
    Path(layers[0].blob).unlink()
    snapshotter.prepare(layers)
    assert os.stat(snapshotter.lowers([layers[0].chain_id])[0]).st_ino == inode


def test_a_wrong_diff_id_leaves_nothing(snapshotter: Snapshotter, tmp_path: Path) -> None:
    (layer,) = layers_of(tmp_path, tar_of([member("f")]), pack=gzip.compress)
    wrong = Layer(layer.chain_id, "sha256:" + "0" * 64, layer.blob, layer.digest)
    with pytest.raises(IntegrityError, match="diff ID"):
        snapshotter.prepare([wrong])
    assert_nothing_left(snapshotter, tmp_path)


@pytest.mark.parametrize(
    "bad", [b"no tar at all" * 100, tar_of([member("../x")]), tar_of([member("f", b"x" * 9000)])[:2048]]
)
def test_a_bad_layer_leaves_nothing_of_its_own(snapshotter: Snapshotter, tmp_path: Path, bad: bytes) -> None:
    layers = layers_of(tmp_path, tar_of([member("good")]), bad, tar_of([member("above")]))
    with pytest.raises(ArchiveError):
        snapshotter.prepare(layers)
    assert set(snapshotter.walk()) <= {layers[0].chain_id}
    with pytest.raises(NotFound):
        snapshotter.lowers([layer.chain_id for layer in layers])
    assert os.listdir(tmp_path / "snapshots/.staging") == []


def assert_nothing_left(snapshotter: Snapshotter, tmp_path: Path) -> None:
    assert list(snapshotter.walk()) == []
    assert [name for name in os.listdir(tmp_path / "snapshots") if not name.startswith(".")] == []
    assert os.listdir(tmp_path / "snapshots/.staging") == []


def test_two_at_once(snapshotter: Snapshotter, tmp_path: Path) -> None:
    layers = layers_of(
        tmp_path, *(tar_of([member(f"f{number}", os.urandom(200_000))]) for number in range(3))
    )
    errors: list[BaseException] = []

    def prepare(count: int) -> None:
        try:
            snapshotter.prepare(layers[:count])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare, args=(count,)) for count in (3, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(snapshotter.lowers([layer.chain_id for layer in layers])) == 3
    assert os.listdir(tmp_path / "snapshots/.staging") == []


def test_remove(snapshotter: Snapshotter, tmp_path: Path) -> None:
    layers = layers_of(tmp_path, rich_layer())
    snapshotter.prepare(layers)
    snapshotter.remove(layers[0].chain_id)
    snapshotter.remove(layers[0].chain_id)
    assert not snapshotter.contains(layers[0].chain_id)
    assert_nothing_left(snapshotter, tmp_path)


def test_recover_removes_what_is_half_made(make: Factory, tmp_path: Path) -> None:
    layers = layers_of(tmp_path, tar_of([member("f")]))
    make(tmp_path / "snapshots").prepare(layers)
    (tmp_path / "snapshots/.staging/0123/fs").mkdir(parents=True)
    (tmp_path / "snapshots" / ("e" * 64) / "fs").mkdir(parents=True)
    again = make(tmp_path / "snapshots")
    again.recover()
    assert list(again.walk()) == [layers[0].chain_id]
    assert os.listdir(tmp_path / "snapshots/.staging") == []


def test_a_layer_that_a_power_failure_may_have_torn_is_made_again(make: Factory, tmp_path: Path) -> None:
    settled, torn = layers_of(tmp_path, tar_of([member("a")]), tar_of([member("b")]))
    first = make(tmp_path / "snapshots")
    first.prepare([settled])
    first.settle()
    first.prepare([settled, torn])
    for record in (tmp_path / "snapshots").glob("*/layer.json"):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        record.write_text(record.read_text().replace(boot, "another-boot"))
    again = make(tmp_path / "snapshots")
    again.recover()
    assert list(again.walk()) == [settled.chain_id]
    again.prepare([settled, torn])
    assert again.contains(torn.chain_id)


def test_many_layers(snapshotter: Snapshotter, tmp_path: Path) -> None:
    layers = layers_of(tmp_path, *(tar_of([member(f"d/{number}", b"x")]) for number in range(127)))
    snapshotter.prepare(layers)
    assert len(snapshotter.lowers([layer.chain_id for layer in layers])) == 127
