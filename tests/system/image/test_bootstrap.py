"""Base images from the distribution's packages."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import InvalidArgument, Unsupported
from corten.image import busybox_image
from corten.image.apt import PrivateApt
from corten.image.bootstrap import bootstrap
from corten.image.model import Progress
from corten.image.store import ImageStore
from tests.unit.image.images import everything, make_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = make_store(tmp_path / "root")
    yield store
    store.close()


def test_busybox(store: ImageStore) -> None:
    told: list[Progress] = []
    loaded = bootstrap(store, "busybox", report=told.append)
    image = store.resolve("busybox:latest")
    assert loaded.id == image.id and image.config.run.cmd == ["sh"]
    root = Path(store.lowers(image)[0])
    assert (root / "bin/sh").resolve() == (root / "bin/busybox").resolve()
    result = subprocess.run(
        [root / "bin/busybox", "echo", "hello"], capture_output=True, text=True, check=True
    )
    assert result.stdout == "hello\n"
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert {"root", "nobody", "www-data"} <= {
        line.split(":")[0] for line in (root / "etc/passwd").read_text().split()
    }
    assert all(
        (root / link).exists() for link in ("usr/bin/env", "bin/ls", "sbin/ip", "etc/group", "etc/hosts")
    )
    assert told[-1].status.startswith("Made busybox:latest")


def test_busybox_is_the_same_each_time(store: ImageStore, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other")
    assert bootstrap(store, "busybox").id == bootstrap(other, "busybox", name="own/name:1").id
    assert other.resolve("own/name:1").repo_tags == ("own/name:1",)
    other.close()


def test_wrong_requests_make_nothing(store: ImageStore) -> None:
    for what, options in (("alpine", {}), ("busybox", {"suite": "sid"}), ("busybox", {"name": "Bad Name"})):
        with pytest.raises(InvalidArgument):
            bootstrap(store, what, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        bootstrap(store, "debian", include=["a;rm -rf /"])
    assert everything(store) == ([], [], [])


def test_a_host_without_apt_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(busybox_image, "_INSTALLED", ())
    with pytest.raises(Unsupported, match="no apt"):
        busybox_image.find_binary(lambda progress: None)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt on this host")
def test_busybox_is_fetched_where_it_is_not_installed(tmp_path: Path) -> None:
    root = PrivateApt(tmp_path, lambda progress: None).extract(busybox_image.PACKAGE)
    binaries = [
        path
        for path in root.rglob("busybox")
        if path.is_file() and busybox_image.is_static(path.read_bytes())
    ]
    assert len(binaries) == 1


def test_a_dynamic_program_is_not_taken_for_a_static_one() -> None:
    assert busybox_image.is_static(Path("/bin/busybox").read_bytes()) or not Path("/bin/busybox").exists()
    assert not busybox_image.is_static(Path("/bin/ls").read_bytes())
    assert not busybox_image.is_static(b"#!/bin/sh\n")
