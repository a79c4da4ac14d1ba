"""The images that are measured: Debian with python3 and numpy, filled up to 15,000 files and a gigabyte.

Made once and kept in a cache directory: the tree, an image layout, docker-archives, and the storage of a
registry that has the images. One image has one layer, the other the same tree in 20; both exist once more
with one small layer on top.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engines import require
from bench.images.registry import Registry

FILES = 20_000
SIZE = 1_000_000_000
_LAYERS = 20
_VERSION = 1  # of what is made; an older cache is thrown away
_GENERATED = "srv/data"
_BLOCK = 4096
_LARGEST = 32 << 20


@dataclass(frozen=True)
class Variant:
    """`repository` holds the tags `first`, and `second` with one more layer."""

    repository: str
    title: str


VARIANTS = (Variant("whole", "1 layer"), Variant("layers", f"{_LAYERS} layers"))


@dataclass(frozen=True)
class Workload:
    """Where everything is; see `make`."""

    directory: Path

    @property
    def tree(self) -> Path:
        """The unpacked image."""
        return self.directory / "rootfs"

    @property
    def registry(self) -> Path:
        """The storage of a registry with all images."""
        return self.directory / "registry"

    def archive(self, variant: Variant) -> Path:
        """A docker-archive, as `docker save` writes it, named localhost/bench-REPOSITORY:first."""
        return self.directory / f"{variant.repository}.tar"

    def facts(self) -> dict[str, int]:
        """`files` and `bytes` of the tree, `compressed` bytes of the image with one layer."""
        return dict(json.loads((self.directory / "facts.json").read_text()))


def archive_name(variant: Variant) -> str:
    return f"localhost/bench-{variant.repository}:first"


def make(cache: Path) -> Workload:
    """What the cache has, or a new one; an interrupted one leaves nothing that looks finished."""
    final = cache / f"v{_VERSION}-{FILES}-{SIZE}"
    if not final.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob("v*"):
            shutil.rmtree(old)
        partial = Path(tempfile.mkdtemp(prefix="making-", dir=cache))
        try:
            _make(partial)
            partial.rename(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return Workload(final)


def _make(directory: Path) -> None:
    tree = directory / "rootfs"
    _bootstrap(tree)
    groups = _fill(tree)
    layout = _Layout(directory / "layout")
    base = ["--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"]
    small = directory / "small"
    _write_files(small / "opt/small", 40, 1_000_000, _blocks(tree), random.Random(2))
    arguments = [
        ["-C", str(tree), *base, "."],
        ["-C", str(small), "./opt"],
        ["-C", str(tree), *base, f"--exclude=./{_GENERATED}", "."],
        *(["-C", str(tree), f"./{group}"] for group in groups),
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        whole, extra, *parts = pool.map(layout.layer, arguments)
    layout.image("whole-first", [whole])
    layout.image("whole-second", [whole, extra])
    layout.image("layers-first", parts)
    layout.image("layers-second", [*parts, extra])
    layout.finish()
    _distribute(directory, layout.root)
    facts = {
        "files": sum(len(files) for _, _, files in os.walk(tree)),
        "bytes": whole.size,
        "compressed": whole.compressed,
        "layers": len(parts),
    }
    (directory / "facts.json").write_text(json.dumps(facts))
    shutil.rmtree(layout.root)
    shutil.rmtree(small)


def _bootstrap(tree: Path) -> None:
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    suite = release.get("VERSION_CODENAME", "stable").strip('"')
    command = [require("mmdebstrap", "mmdebstrap"), "--quiet", "--variant=minbase"]
    subprocess.run([*command, "--include=python3,python3-numpy", suite, str(tree)], check=True)


def _blocks(tree: Path) -> list[bytes]:
    """Pieces of real programs and libraries: what is made of them compresses as those do."""
    blocks = []
    for path in sorted((tree / "usr/lib").rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size >= _BLOCK:
            data = path.read_bytes()
            blocks += [data[at : at + _BLOCK] for at in range(0, len(data) - _BLOCK + 1, _BLOCK)]
    return blocks


def _fill(tree: Path) -> list[str]:
    """Adds files until the tree has FILES and SIZE; gives their directories, one for each further layer."""
    found = [Path(base, name) for base, _, names in os.walk(tree) for name in names]
    size = sum(path.stat(follow_symlinks=False).st_size for path in found)
    blocks, rng = _blocks(tree), random.Random(1)
    groups = [f"{_GENERATED}/{number:02d}" for number in range(1, _LAYERS)]
    for group in groups:
        count = (FILES - len(found)) // len(groups) + 1
        _write_files(tree / group, count, (SIZE - size) // len(groups), blocks, rng)
    return groups


def _write_files(directory: Path, count: int, size: int, blocks: list[bytes], rng: random.Random) -> None:
    """`count` files with about `size` bytes together, most of them small, in directories of 50."""
    weights = [rng.lognormvariate(0, 2) for _ in range(count)]
    scale = size / sum(weights)
    for number, weight in enumerate(weights):
        folder = directory / f"{number // 50:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        length = min(_LARGEST, int(weight * scale) + 1)
        data = b"".join(rng.choices(blocks, k=-(-length // _BLOCK)))
        (folder / f"{number:05d}.bin").write_bytes(data[:length])


@dataclass(frozen=True)
class _Layer:
    digest: str
    diff_id: str
    compressed: int
    size: int


class _Layout:
    """Writes an OCI image layout with gzip layers, compressed as docker compresses them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs/sha256"
        self.blobs.mkdir(parents=True)
        self.manifests: list[dict[str, Any]] = []

    def layer(self, arguments: list[str]) -> _Layer:
        """The layer that `tar ARGUMENTS` writes."""
        with (
            tempfile.NamedTemporaryFile(dir=self.root) as tar,
            tempfile.NamedTemporaryFile(dir=self.root, delete=False) as packed,
        ):
            subprocess.run(["tar", "--sort=name", "--xattrs", "-c", *arguments], stdout=tar, check=True)
            tar.seek(0)
            subprocess.run(["gzip", "-6", "-n", "-c"], stdin=tar, stdout=packed, check=True)
            tar.seek(0)
            packed.seek(0)
            diff_id = hashlib.file_digest(tar, "sha256").hexdigest()
            digest = hashlib.file_digest(packed, "sha256").hexdigest()
            size = os.fstat(tar.fileno()).st_size
            compressed = os.fstat(packed.fileno()).st_size
        Path(packed.name).rename(self.blobs / digest)
        return _Layer(f"sha256:{digest}", f"sha256:{diff_id}", compressed, size)

    def image(self, name: str, layers: list[_Layer]) -> None:
        config = {
            "architecture": _architecture(),
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["python3"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "bench"} for _ in layers],
        }
        kind = "application/vnd.oci.image."
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind + "manifest.v1+json",
            "config": self._add(config, kind + "config.v1+json"),
            "layers": [
                {"mediaType": kind + "layer.v1.tar+gzip", "digest": layer.digest, "size": layer.compressed}
                for layer in layers
            ],
        }
        named = self._add(manifest, kind + "manifest.v1+json")
        self.manifests.append({**named, "annotations": {"org.opencontainers.image.ref.name": name}})

    def _add(self, document: dict[str, Any], media_type: str) -> dict[str, Any]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def finish(self) -> None:
        index = {"schemaVersion": 2, "manifests": self.manifests}
        (self.root / "index.json").write_text(json.dumps(index))
        (self.root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def _distribute(directory: Path, layout: Path) -> None:
    """From the layout into a registry's storage and docker-archives, by skopeo."""
    skopeo = require("skopeo", "skopeo")
    copy = [skopeo, "copy", "--quiet", "--dest-tls-verify=false"]
    with Registry(directory / "registry") as registry:
        for variant in VARIANTS:
            for tag in ("first", "second"):
                target = f"docker://{registry.host}/{variant.repository}:{tag}"
                subprocess.run([*copy, f"oci:{layout}:{variant.repository}-{tag}", target], check=True)
    for variant in VARIANTS:
        source = f"oci:{layout}:{variant.repository}-first"
        target = f"docker-archive:{directory}/{variant.repository}.tar:{archive_name(variant)}"
        subprocess.run([skopeo, "copy", "--quiet", source, target], check=True)
