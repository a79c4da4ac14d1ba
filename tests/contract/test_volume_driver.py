"""What every volume driver does; a new driver is added to `DRIVERS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from corten.errors import InvalidArgument, NotFound
from corten.volume.driver import VolumeDriver
from corten.volume.local import LocalDriver


def _local(path: Path) -> VolumeDriver:
    for name in ("volumes", "trash"):
        (path / name).mkdir()
    return LocalDriver(path / "volumes", path / "trash")


DRIVERS: dict[str, Callable[[Path], VolumeDriver]] = {"local": _local}


@pytest.fixture(params=sorted(DRIVERS))
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> VolumeDriver:
    return DRIVERS[request.param](tmp_path)


def test_it_has_a_name(driver: VolumeDriver) -> None:
    assert driver.name in DRIVERS


def test_create_mount_remove(driver: VolumeDriver) -> None:
    assert not driver.exists("data")
    driver.create("data", {})
    assert driver.exists("data")
    mount = driver.mount("data", {})
    assert mount.type and mount.source
    driver.remove("data", {})
    assert not driver.exists("data")
    with pytest.raises(NotFound):
        driver.mount("data", {})


def test_every_step_may_be_repeated(driver: VolumeDriver) -> None:
    driver.create("data", {})
    driver.create("data", {})
    driver.remove("data", {})
    driver.remove("data", {})


def test_a_new_volume_of_an_old_name_is_empty(driver: VolumeDriver) -> None:
    driver.create("data", {})
    if driver.mount("data", {}).directory:
        (driver.mountpoint("data") / "old").write_text("old")
    driver.remove("data", {})
    driver.create("data", {})
    if driver.mount("data", {}).directory:
        assert not list(driver.mountpoint("data").iterdir())


def test_volumes_are_apart(driver: VolumeDriver) -> None:
    driver.create("one", {})
    driver.create("two", {})
    assert driver.mountpoint("one") != driver.mountpoint("two")
    driver.remove("one", {})
    assert driver.exists("two")


def test_usage_grows(driver: VolumeDriver) -> None:
    driver.create("data", {})
    before = driver.usage("data")
    if before >= 0 and driver.mount("data", {}).directory:
        (driver.mountpoint("data") / "file").write_bytes(b"x" * 4096)
        assert driver.usage("data") >= before + 4096


def test_unknown_options_are_refused(driver: VolumeDriver) -> None:
    driver.check_options({})
    with pytest.raises(InvalidArgument):
        driver.check_options({"no-driver-knows-this": "1"})
