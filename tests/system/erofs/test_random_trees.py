"""Random layers, hostile ones among them: what the kernel shows of the image is what unpacking makes, and
what one refuses the other refuses."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from corten.errors import ArchiveError
from corten.linux.erofs import open_image
from corten.linux.loop import attach
from corten.snapshot.erofs.support import LOOP, Support
from tests.unit.snapshot.archives import directory, hard_link, member, symlink, tar_of, unpack
from tests.unit.snapshot.erofs.images import index

pytestmark = pytest.mark.root

Member = tuple[tarfile.TarInfo, bytes]

_PARTS = st.sampled_from(
    ["a", "b", "c", "dd", "-", "é", ".wh.a", ".wh.b", ".wh..wh..opq", "..", "n" * 255, "x" * 100]
)
_NAMES = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)
_TARGETS = st.one_of(_NAMES, _NAMES.map("/".__add__), st.sampled_from([".", "..", "../a", "t" * 4050, "/"]))
_TYPES = st.sampled_from(
    [tarfile.REGTYPE] * 4
    + [tarfile.DIRTYPE] * 3
    + [tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
_XATTRS = st.dictionaries(
    st.sampled_from(["user.a", "user.b", "trusted.t", "security.x"]), st.text("xyz", max_size=300), max_size=2
)


@st.composite
def members(draw: Callable[..., object]) -> Member:
    kind = draw(_TYPES)
    data = bytes(draw(st.integers(0, 9000))) if kind == tarfile.REGTYPE else b""  # type: ignore[call-overload]
    info, data = member(
        str(draw(_NAMES)),
        data.replace(b"\0", b"d"),
        type=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.sampled_from([0, 1000, 70_000, 2**32 - 2])),
        gid=draw(st.sampled_from([0, 8])),
        mtime=draw(st.sampled_from([0, 1, 1.5, 2**31, -7])),
    )
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = str(draw(_TARGETS))
    if kind == tarfile.CHRTYPE:
        info.devmajor, info.devminor = 1, 3
    if kind in (tarfile.REGTYPE, tarfile.DIRTYPE):
        found = draw(_XATTRS)
        assert isinstance(found, dict)
        info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in found.items()}
    return info, data


def facts(root: bytes) -> dict[bytes, tuple[object, ...]]:
    """Everything below `root`; whiteouts' times and owners are nobody's."""
    found: dict[bytes, tuple[object, ...]] = {}
    pending = [b""]
    while pending:
        name = pending.pop()
        path = root + b"/" + name
        status = os.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        whiteout = kind == stat.S_IFCHR and status.st_rdev == 0
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False)
            for key in os.listxattr(path, follow_symlinks=False)
        }
        content: object = b""
        if kind == stat.S_IFREG:
            with open(path, "rb") as file:
                content = file.read()
        elif kind == stat.S_IFLNK:
            content = os.readlink(path)
        elif kind == stat.S_IFDIR:
            below = [entry.name for entry in os.scandir(path)]
            content = sorted(below)
            pending += [name + b"/" + entry if name else entry for entry in below]
        found[name] = (
            kind if whiteout else status.st_mode,
            0 if whiteout else (status.st_uid, status.st_gid, status.st_mtime_ns),
            status.st_nlink if kind != stat.S_IFDIR else 0,
            status.st_rdev,
            content,
            tuple(sorted(attributes.items())),
        )
    return found


def mounted(image: Path, support: Support, *, in_tar: bool) -> dict[bytes, tuple[object, ...]]:
    paths = [image, image.with_suffix(".tar")] if in_tar else [image]
    names = [os.fsencode(path) for path in paths]
    devices = []
    if support.method == LOOP:
        for number, path in enumerate(paths):
            fd = os.open(path, os.O_RDONLY)
            name, device = attach(fd)
            os.close(fd)
            devices.append(device)
            names[number] = name.encode()
    mount = open_image(*names)
    for device in devices:
        os.close(device)
    try:
        return facts(b"/proc/self/fd/%d/." % mount)
    finally:
        os.close(mount)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layer=st.lists(members(), max_size=12))
@example(layer=[member(".wh.a"), member("a/.wh.a")])
@example(layer=[member("a/.wh.a"), member(".wh.a")])
@example(layer=[member(".wh.a"), member("a/.wh..wh..opq")])
@example(layer=[member(".wh.a"), member("a/.wh..wh.plnk")])
@example(layer=[member(".wh.a"), member("a"), member("a/.wh.b")])
@example(layer=[member(".wh.a"), directory("a"), member("a/.wh.b")])
@example(layer=[member(".wh.a"), symlink("b", "a"), member("b/.wh.c")])
@example(layer=[member(".wh.a"), hard_link("b", "a"), member("b/c")])
@example(layer=[member("a/b"), hard_link("a", "a/b")])
@example(layer=[member("a/.wh.b"), member("a"), directory("a"), directory("a/b")])
def test_the_kernel_shows_what_unpacking_makes(support: Support, layer: list[Member]) -> None:
    data = tar_of(layer)
    with tempfile.TemporaryDirectory() as scratch:
        root, image = Path(scratch, "root"), Path(scratch, "image.erofs")
        refusal: ArchiveError | None = None
        implied: list[bytes] = []
        try:
            implied = unpack(data, root).implied
        except ArchiveError as error:
            refusal = error
        modes = [False, True] if support.in_tar else [False]
        for in_tar in modes:
            if refusal is not None:
                with pytest.raises(ArchiveError):
                    index(data, image, in_tar=in_tar)
                continue
            done = index(data, image, in_tar=in_tar)
            assert [path for path, _offset in done.implied] == implied
            expected = facts(os.fsencode(root))
            found = mounted(image, support, in_tar=in_tar)
            for path in implied:  # what these look like, the layers below tell
                expected[path] = (expected[path][0], 0, *expected[path][2:])
                found[path] = (expected[path][0], 0, *found[path][2:])
            assert found == expected
