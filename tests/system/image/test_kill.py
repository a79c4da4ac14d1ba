"""SIGKILL at any moment of loading and removing: the next start finds a store without leftovers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corten.image.store import ImageStore
from tests.unit.image.images import docker_archive, everything, make_store
from tests.unit.snapshot.archives import member, tar_of

pytestmark = pytest.mark.root

_WORK = """
import sys
sys.path[:] = {path!r}
from pathlib import Path
from corten.image.store import open_stream
from corten.errors import NotFound
from tests.unit.image.images import make_store
store = make_store(Path({root!r}))
store.recover()
print("ready", flush=True)
while True:
    store.load(open_stream({archive!r}))
    store.remove("app:1", force=True)
"""


def check(store: ImageStore) -> None:
    """Every image is complete, and nothing is there that no image needs."""
    blobs, chains, leftovers = everything(store)
    assert leftovers == []
    needed_blobs: set[str] = set()
    needed_chains: set[str] = set()
    for image in store.list(all=True):
        needed_blobs |= {image.manifest.digest, image.id, *(layer.digest for layer in image.layers)}
        needed_chains |= set(image.chain)
        for lower in store.lowers(image):
            assert len(list(Path(lower).iterdir())) == 41
    assert set(blobs) == needed_blobs and set(chains) == needed_chains
    assert len(store.content.read_index().manifests) == sum(len(image.repo_tags) for image in store.list())


def test_killed_at_random_moments(tmp_path: Path) -> None:
    layers = [
        tar_of(
            [member(f"f{layer}-{n}", os.urandom(100)) for n in range(40)]
            + [member(f"big{layer}", os.urandom(2_000_000))]
        )
        for layer in range(3)
    ]
    archive = tmp_path / "a.tar"
    archive.write_bytes(docker_archive(layers))
    root = tmp_path / "root"
    script = _WORK.format(path=sys.path, root=str(root), archive=str(archive))
    chance = random.Random(7)
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.0, 0.7))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        wait_for_workers(root)
        store = make_store(root)
        store.recover()
        check(store)
        store.close()


def wait_for_workers(root: Path) -> None:
    """Workers of a killed engine notice within a piece or an answer, and clean up after themselves."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(str(root).encode() in link for link in open_files()):
            return
        time.sleep(0.05)
    raise AssertionError("a worker of the killed engine still runs")


def open_files() -> list[bytes]:
    links = []
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            links.append(os.readlink(os.fsencode(path)))
        except OSError:
            continue
    return links
