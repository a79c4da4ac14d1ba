"""Overlays over EROFS layers, in every way that some kernel needs."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from corten.linux import mount as m
from corten.linux.erofs import open_image
from corten.linux.namespace import CLONE_NEWNS, unshare
from corten.oci.digest import chain_ids, sha256_of
from corten.runtime.execute_child import Child
from corten.runtime.execute_root import overlay
from corten.runtime.lower import Lower
from corten.snapshot import Layer
from corten.snapshot.erofs.support import DETACHED, FILE, LOOP, Support
from corten.snapshot.erofs_snapshotter import ErofsSnapshotter
from corten.snapshot.view import run_in_view
from corten.volume.populate import populate
from tests.unit.snapshot.archives import directory, member, symlink, tar_of

pytestmark = pytest.mark.root


def layers(tmp_path: Path) -> list[Layer]:
    tars = (
        tar_of([directory("etc", mode=0o711), member("etc/one", b"1"), member("etc/gone", b"x")]),
        tar_of([member("etc/two", b"2" * 5000), member("etc/.wh.gone"), symlink("l", "etc/one")]),
    )
    diff_ids = [sha256_of(data) for data in tars]
    found = []
    for diff_id, chain_id, data in zip(diff_ids, chain_ids(diff_ids), tars, strict=True):
        blob = tmp_path / diff_id[7:]
        blob.write_bytes(data)
        found.append(Layer(chain_id, diff_id, str(blob), diff_id, verified=True))
    return found


@pytest.fixture(params=[DETACHED, LOOP, FILE])
def lowers(request: pytest.FixtureRequest, tmp_path: Path, support: Support) -> tuple[str, ...]:
    order = [LOOP, FILE, DETACHED]
    if order.index(request.param) > order.index(support.method):
        pytest.skip(f"this kernel does not support {request.param}")
    if request.param == LOOP and not Path("/dev/loop-control").exists():
        pytest.skip("no loop devices")
    snapshotter = ErofsSnapshotter(tmp_path / "snapshots", support=replace(support, method=request.param))
    request.addfinalizer(snapshotter.close)
    chain = layers(tmp_path)
    snapshotter.prepare(chain)
    return snapshotter.lowers([layer.chain_id for layer in chain])


def test_a_view(lowers: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    with (tmp_path / "out.tar").open("wb") as file:
        run_in_view(lowers, str(tmp_path / "upper"), str(tmp_path / "work"), "pack_tree", fds=[file.fileno()])
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "out.tar").read_bytes())) as tar:
        names = {item.name.strip("./"): item for item in tar.getmembers()}
        assert {"etc", "etc/one", "etc/two", "l"} <= set(names)
        assert "etc/gone" not in names
        assert names["etc"].mode == 0o711


def test_a_volume_s_first_use(lowers: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "volume"
    target.mkdir()
    populate(lowers, "/etc", target)
    assert sorted(os.listdir(target)) == ["one", "two"]


def test_the_root_of_a_container(lowers: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    items: list[bytes | tuple[bytes, int]] = []
    slots: list[int] = []
    for lower in lowers:
        if isinstance(lower, Lower):
            mountpoint, source, device = (os.fsencode(part) for part in lower.mount)
            items.append((mountpoint, len(slots)))
            slots.append(open_image(source, device))
        else:
            items.append(os.fsencode(lower))
    options = tuple(os.fsencode(f"{name}dir={tmp_path / name}") for name in ("upper", "work"))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            unshare(CLONE_NEWNS)
            m.mount(None, b"/", None, m.MS_PRIVATE | m.MS_REC, None)
            child = Child(-1, (0, 1, 2), False, -1, slots)
            overlay(child, tuple(items), options, os.fsencode(tmp_path / "upper"))
            root = Path(f"/proc/self/fd/{child.root}")
            assert sorted(os.listdir(root / "etc")) == ["one", "two"]
            (root / "etc/one").write_text("changed")
            status = 0
        finally:
            os._exit(status)
    for slot in slots:
        os.close(slot)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "upper/etc/one").read_text() == "changed"


def test_a_path_that_was_let_go_never_leads_to_another_layer(tmp_path: Path, support: Support) -> None:
    snapshotter = ErofsSnapshotter(tmp_path / "snapshots", support=support)
    chain = layers(tmp_path)
    snapshotter.prepare(chain)
    (old,) = snapshotter.lowers([chain[0].chain_id])
    assert os.path.isdir(old)
    snapshotter.remove(chain[0].chain_id)
    snapshotter.remove(chain[1].chain_id)
    assert not os.path.isdir(old)
    snapshotter.prepare(chain)
    assert old not in snapshotter.lowers([layer.chain_id for layer in chain])
    assert not os.path.isdir(old)
    snapshotter.close()


def test_implied_parents_take_attributes_too(tmp_path: Path, support: Support) -> None:
    info, _ = directory("d", 0o750, uid=9)
    info.pax_headers = {"SCHILY.xattr.user.mark": "m"}
    tars = (tar_of([(info, b"")]), tar_of([member("d/below", b"x")]))
    diff_ids = [sha256_of(data) for data in tars]
    chain = []
    for diff_id, chain_id, data in zip(diff_ids, chain_ids(diff_ids), tars, strict=True):
        (tmp_path / diff_id[7:]).write_bytes(data)
        chain.append(Layer(chain_id, diff_id, str(tmp_path / diff_id[7:]), diff_id))
    for in_tar in (False, True) if support.in_tar else (False,):
        snapshotter = ErofsSnapshotter(tmp_path / f"snapshots{in_tar}", support=support, in_tar=in_tar)
        snapshotter.prepare(chain)
        top = snapshotter.lowers([layer.chain_id for layer in chain])[0]
        assert os.getxattr(f"{top}/d", "user.mark") == b"m"
        assert (os.stat(f"{top}/d").st_uid, os.stat(f"{top}/d").st_mode & 0o777) == (9, 0o750)
        snapshotter.close()
