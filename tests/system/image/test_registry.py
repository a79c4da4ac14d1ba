"""Debian's docker-registry, skopeo and corten: pulled, pushed, with passwords, killed in the middle."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.errors import Denied
from corten.image.model import Progress
from corten.image.pull import pull
from corten.image.push import push
from corten.image.registry.client import Registries
from corten.image.registry.config import RegistryConfig
from corten.image.registry.credentials import Basic, Credentials
from corten.oci.reference import Reference
from tests.unit.image.images import docker_archive, load, make_store
from tests.unit.image.registry.fake import noise
from tests.unit.snapshot.archives import member, tar_of

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not (shutil.which("docker-registry") and shutil.which("skopeo")),
        reason="needs Debian's docker-registry and skopeo",
    ),
]

LAYERS = [
    tar_of([member(f"layer{n}/file{m}", noise(40_000, b"%d.%d" % (n, m))) for m in range(60)])
    for n in range(6)
]
# user `user`, password `secret`
_HTPASSWD = "user:$2y$05$bWPgiVDgBG/3d5x.qnG97u4U11ltddzTfG5dh4f1rTxJlPg2grj6K\n"


class Registry:
    """docker-registry on a free port of loopback, with its data in `root`."""

    def __init__(self, root: Path, *, password: bool = False) -> None:
        root.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        config = (
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        if password:
            (root / "htpasswd").write_text(_HTPASSWD)
            config += f"auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n"
        (root / "config.yml").write_text(config)
        self._process = subprocess.Popen(
            ["docker-registry", "serve", str(root / "config.yml")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(self.host.rpartition(":")[2])), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    registry = Registry(tmp_path_factory.mktemp("registry") / "root")
    yield registry
    registry.stop()


def skopeo(*arguments: str) -> str:
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True).stdout


def upload(registry: Registry, tmp_path: Path, name: str, *options: str) -> Reference:
    """The test image, put there by skopeo."""
    archive = tmp_path / "image.tar"
    archive.write_bytes(docker_archive(LAYERS, ["app:1"]))
    target = f"docker://{registry.host}/{name}"
    skopeo("copy", "-q", "--dest-tls-verify=false", *options, f"docker-archive:{archive}", target)
    return Reference.parse(f"{registry.host}/{name}")


def client(tmp_path: Path) -> Registries:
    return Registries(config=RegistryConfig(), credentials=Credentials(tmp_path / "config.json"))


@pytest.mark.parametrize("options", [(), ("--format=oci",), ("--format=oci", "--dest-compress-format=zstd")])
async def test_what_skopeo_pushed(registry: Registry, tmp_path: Path, options: tuple[str, ...]) -> None:
    reference = upload(registry, tmp_path, f"team/app:v{len(options)}", *options)
    store = make_store(tmp_path / "root")
    async with client(tmp_path) as known:
        (pulled,) = await pull(store, known.client(registry.host), reference)
        (again,) = await pull(store, known.client(registry.host), reference)
    assert pulled.newer and not again.newer
    lowers = store.lowers(store.resolve(pulled.image_id))
    for number, lower in enumerate(reversed(lowers)):
        assert (Path(lower) / f"layer{number}/file7").read_bytes() == noise(40_000, b"%d.7" % number)
    told = skopeo("inspect", "--tls-verify=false", "--format={{.Digest}}", f"docker://{reference.canonical}")
    assert told.strip() == pulled.digest
    store.close()


async def test_what_corten_pushed(registry: Registry, tmp_path: Path) -> None:
    store = make_store(tmp_path / "root")
    (image_id,) = load(store, docker_archive(LAYERS, [f"{registry.host}/mine:1"]))
    store.tag(image_id, f"{registry.host}/other/mine", "2")
    seen: list[Progress] = []
    async with client(tmp_path) as known:
        registry_client = known.client(registry.host)
        for name in ("mine:1", "other/mine:2"):
            reference = Reference.parse(f"{registry.host}/{name}")
            (pushed,) = await push(store, registry_client, reference, report=seen.append)
        layer = store.resolve(image_id).layers[0]
        await registry_client.upload_blob(
            "chunks",
            layer,
            lambda offset: _from(store.content.path(layer.digest), offset),
            chunk_size=1 << 20,
        )
        assert await registry_client.blob_exists("chunks", layer.digest)
        assert await registry_client.tags("mine") == ["1"]
        assert "other/mine" in await registry_client.catalog()
    assert sum(item.status == "Mounted from mine" for item in seen) == len(LAYERS)
    skopeo(
        "copy",
        "-q",
        "--src-tls-verify=false",
        f"docker://{registry.host}/other/mine:2",
        f"dir:{tmp_path}/dir",
    )
    told = skopeo("inspect", "--format={{.Digest}}", f"dir:{tmp_path}/dir")
    assert told.strip() == pushed.digest
    store.close()


async def _from(path: Path, offset: int):  # type: ignore[no-untyped-def]
    yield path.read_bytes()[offset:]


async def test_password(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry", password=True)
    try:
        reference = upload(registry, tmp_path, "app:1", "--dest-creds=user:secret")
        store = make_store(tmp_path / "root")
        async with client(tmp_path) as known:
            with pytest.raises(Denied, match="log in first"):
                await pull(store, known.client(registry.host), reference)
            with pytest.raises(Denied):
                await known.client(registry.host, auth=Basic("user", "wrong")).login()
            await known.client(registry.host, auth=Basic("user", "secret")).login()
            Credentials(tmp_path / "config.json").store(registry.host, Basic("user", "secret"))
            (pulled,) = await pull(store, known.client(registry.host), reference)
            assert store.resolve(pulled.image_id)
        store.close()
    finally:
        registry.stop()


_PULL = """
import asyncio, sys, resource
from pathlib import Path
from corten.image.pull import pull
from corten.image.registry.client import Registries
from corten.image.registry.config import RegistryConfig
from corten.oci.reference import Reference
from tests.unit.image.images import make_store

async def main(root, name):
    store = make_store(Path(root))
    store.recover()
    reference = Reference.parse(name)
    async with Registries(config=RegistryConfig()) as known:
        (pulled,) = await pull(store, known.client(reference.domain), reference)
    store.close()
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Not ru_maxrss of this process: it begins with what its parent had before the exec.
    (own,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(pulled.image_id, int(own) + children)

asyncio.run(main(*sys.argv[1:]))
"""


def _start(root: Path, reference: Reference) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = {sys.path!r}\n{_PULL}",
            str(root),
            str(reference),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_at_any_moment(registry: Registry, tmp_path: Path) -> None:
    """SIGKILL again and again; what is left is recovered, and the pull ends well at last."""
    reference = upload(registry, tmp_path, "killed:1")
    moments = random.Random(7)
    root = tmp_path / "root"
    for _ in range(12):
        process = _start(root, reference)
        try:
            process.communicate(timeout=moments.uniform(0.3, 1.1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(0.1)  # its workers notice
        store = make_store(root)
        store.recover()
        store.content.read_index()
        for blob in store.content.walk():
            assert store.content.path(blob.digest).stat().st_size == blob.size
            store.content.read(blob.digest, limit=64 << 20)
        assert not list((root / "snapshots/.staging").iterdir())
        for image in store.list():
            assert len(store.lowers(image)) == len(LAYERS)
        store.close()
    output, _ = _start(root, reference).communicate()
    assert output.startswith("sha256:")


def test_peak_memory(registry: Registry, tmp_path: Path) -> None:
    """A layer of 300 MB: at most 150 MiB in all, the engine's process and the biggest worker."""
    archive = tmp_path / "big.tar"
    archive.write_bytes(docker_archive([tar_of([member("big", noise(300 << 20))])], ["app:1"]))
    target = f"docker://{registry.host}/big:1"
    skopeo("copy", "-q", "--dest-tls-verify=false", f"docker-archive:{archive}", target)
    archive.unlink()
    process = _start(tmp_path / "root", Reference.parse(f"{registry.host}/big:1"))
    output, _ = process.communicate()
    assert int(output.split()[1]) < 150 << 10, output
