from __future__ import annotations

import os
from pathlib import Path

from corten.engine.mount_points import MountPoints

CHAIN = ("sha256:" + "a" * 64,)
POINTS = {"dev", "proc", "sys", "etc"}


def lower(tmp_path: Path, *directories: str) -> Path:
    image = tmp_path / "image"
    for directory in ("", *directories):
        (image / directory).mkdir(parents=True, exist_ok=True)
    return image


def names(directory: str) -> set[str]:
    return set(os.listdir(directory))


def test_what_the_image_lacks_is_in_one_more_layer_on_top(tmp_path: Path) -> None:
    image = lower(tmp_path, "bin", "proc")
    found = MountPoints(tmp_path / "points").over(CHAIN, (str(image),))
    assert found[1:] == (str(image),)
    assert names(found[0]) == POINTS - {"proc"}
    assert names(f"{found[0]}/etc") == {"hostname", "hosts", "resolv.conf"}


def test_a_directory_of_the_image_keeps_its_attributes(tmp_path: Path) -> None:
    image = lower(tmp_path, "etc")
    os.chmod(image / "etc", 0o2750)
    os.utime(image / "etc", ns=(7, 1_234_567_890_123_456_789))
    found = MountPoints(tmp_path / "points").over(CHAIN, (str(image),))
    status = os.stat(f"{found[0]}/etc")
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o2750, 1_234_567_890_123_456_789)


def test_an_image_that_has_all_gets_no_layer(tmp_path: Path) -> None:
    image = lower(tmp_path, "dev", "proc", "sys", "etc")
    for name in ("hostname", "hosts", "resolv.conf"):
        (image / "etc" / name).touch()
    lowers = (str(image),)
    assert MountPoints(tmp_path / "points").over(CHAIN, lowers) == lowers


def test_a_link_of_the_image_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    image = lower(tmp_path)
    (image / "etc").symlink_to(elsewhere)
    (image / "proc").symlink_to(elsewhere)
    found = MountPoints(tmp_path / "points").over(CHAIN, (str(image),))
    assert names(found[0]) == {"dev", "sys"}
    assert not os.listdir(elsewhere)


def test_layers_of_images_that_are_gone_are_removed(tmp_path: Path) -> None:
    points = MountPoints(tmp_path / "points")
    image = lower(tmp_path)
    points.over(CHAIN, (str(image),))
    other = "sha256:" + "b" * 64
    points.over((other,), (str(image),))
    (tmp_path / "points" / ".half-made").mkdir()
    points.prune([other])
    assert names(str(tmp_path / "points")) == {"b" * 64}
