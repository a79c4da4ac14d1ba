"""What corten build makes, as others see it: skopeo, umoci, a registry, another machine."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.cli.conftest import Corten
from tests.system.conftest import clean, leftovers
from tests.system.registry.conftest import Command, RegistryServer, require, server
from tests.system.rootless.conftest import UID, OrdinaryUser, user
from tests.unit.image.estargz.estargz_reader import files, toc

__all__ = ("server", "user")

pytestmark = pytest.mark.root

DOCKERFILE = (
    "FROM busybox\nWORKDIR /app\nCOPY . .\n"
    "RUN rm data && mkdir -m 700 own && echo made > own/x && ln x y\n"
    'RUN true\nLABEL a=b\nCMD ["cat", "/app/own/x"]\n'
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write_context(
        tmp_path / "context", {"Dockerfile": DOCKERFILE, "x": "hello\n", "data": "gone\n", "d/e/f": "deep\n"}
    )


@pytest.fixture
def other(busybox_archive: Path) -> Iterator[Corten]:
    """Another machine, which has busybox as well."""
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    corten = Corten(place)
    try:
        corten("load", "-i", str(busybox_archive))
        yield corten
        corten("rm", "-f", *corten("ps", "-aq").stdout.split(), check=None)
        corten("engine", "stop")
        left = leftovers(corten.paths)
        assert not left, left
    finally:
        clean(corten.paths)
        shutil.rmtree(place, ignore_errors=True)


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """path → (mode, nlink of files, contents)."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        contents, links = b"", 0
        if path.is_symlink():
            contents = os.fsencode(os.readlink(path))
        elif path.is_file():
            contents, links = path.read_bytes(), status.st_nlink
        found[str(path.relative_to(root))] = (status.st_mode, links, contents)
    return found


def test_the_same_tree_by_umoci(corten: Corten, context: Path, tmp_path: Path) -> None:
    require("umoci")
    layout, out = tmp_path / "layout", tmp_path / "out"
    corten(
        *("build", "-t", "app:1", "-o", f"type=oci,dest={layout},tar=false", "-o", str(out)),
        *("-o", "type=image", str(context)),
    )
    umoci = Command("umoci")
    umoci("unpack", "--image", f"{layout}:1", str(tmp_path / "bundle"))
    assert tree(tmp_path / "bundle/rootfs") == tree(out)
    assert not (out / "app/data").exists()
    config = json.loads((tmp_path / "bundle/config.json").read_bytes())
    assert config["process"]["args"] == ["cat", "/app/own/x"] and config["process"]["cwd"] == "/app"
    stat = json.loads(umoci("stat", "--json", "--image", f"{layout}:1"))
    by = [(step["created_by"], step.get("empty_layer", False)) for step in stat["history"]]
    assert by[-6:] == [
        ("WORKDIR /app", False),
        ("COPY . . # buildkit", False),
        ("RUN /bin/sh -c rm data && mkdir -m 700 own && echo made > own/x && ln x y # buildkit", False),
        ("RUN /bin/sh -c true # buildkit", True),
        ("LABEL a=b", True),
        ('CMD ["cat" "/app/own/x"]', True),
    ]
    assert corten("run", "--rm", "--network", "none", "app:1").stdout == "made\n"
    # A second image goes beside the first.
    corten("build", "-t", "app:2", "-o", f"type=oci,dest={layout},tar=false", str(context))
    assert len(json.loads((layout / "index.json").read_bytes())["manifests"]) == 2


def test_pushed(corten: Corten, other: Corten, server: RegistryServer, context: Path, tmp_path: Path) -> None:
    require("skopeo")
    name, metadata = f"{server.host}/app:1", tmp_path / "metadata.json"
    corten(
        *("build", "-t", name, "--push", "--metadata-file", str(metadata)),
        *("--annotation", "org.example.note=yes", str(context)),
    )
    said = json.loads(metadata.read_bytes())
    assert said["buildx.build.ref"].startswith("corten/corten/") and said["image.name"] == name
    skopeo = Command("skopeo")
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    manifest = json.loads(raw)
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["annotations"] == {"org.example.note": "yes"}
    kinds = [layer["mediaType"].rpartition(".")[2] for layer in manifest["layers"]]
    assert kinds[1:] == ["tar+gzip"] * 3
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    assert seen["Digest"] == said["containerimage.digest"] and seen["Labels"] == {"a": "b"}
    other("pull", "-q", name)
    assert other("run", "--rm", "--network", "none", name).stdout == "made\n"
    identity = other("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
    assert identity == said["containerimage.config.digest"]


def test_built_and_pushed_later(corten: Corten, other: Corten, server: RegistryServer, context: Path) -> None:
    """The store has plain tars; the registry gets gzip, under the same image ID."""
    name = f"{server.host}/later:1"
    corten("build", "-t", name, str(context))
    identity = corten("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
    corten("push", "-q", name)
    assert corten("image", "inspect", "--format", "{{.Id}}", name).stdout.strip() == identity
    other("pull", "-q", name)
    assert other("image", "inspect", "--format", "{{.Id}}", name).stdout.strip() == identity
    known = corten("image", "inspect", "--format", "{{json .RepoDigests}}", name).stdout
    (digest,) = json.loads(other("image", "inspect", "--format", "{{json .RepoDigests}}", name).stdout)
    assert digest in json.loads(known)


def test_one_digest_on_two_machines(corten: Corten, other: Corten, context: Path, tmp_path: Path) -> None:
    digests = set()
    for number, machine in enumerate((corten, other)):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(context, copy, symlinks=True)
        for path in copy.rglob("*"):
            os.utime(path, (number * 1_000_000, number * 1_000_000))
        metadata = tmp_path / f"{number}.json"
        machine("build", "--metadata-file", str(metadata), "-t", "same", str(copy))
        digests.add(json.loads(metadata.read_bytes())["containerimage.digest"])
    assert len(digests) == 1


def test_several_platforms(corten: Corten, server: RegistryServer, tmp_path: Path) -> None:
    require("skopeo")
    context = write_context(
        tmp_path / "c", {"Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /f\n"}
    )
    for name in ("amd64", "arm64"):
        (context / name).write_text(name)
    name, out = f"{server.host}/several:1", tmp_path / "out"
    corten(
        *("build", "-t", name, "--platform", "linux/amd64,linux/arm64", "-o", "type=image,push=true"),
        *("-o", str(out), "--annotation", "index:org.example.note=yes", str(context)),
    )
    index = json.loads(Command("skopeo")("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    assert index["annotations"] == {"org.example.note": "yes"}
    for entry in index["manifests"]:
        architecture = entry["platform"]["architecture"]
        seen = Command("skopeo")(
            *("inspect", "--config", "--tls-verify=false", "--override-arch", architecture),
            f"docker://{name}",
        )
        assert json.loads(seen)["architecture"] == architecture
    assert [path.read_text() for path in sorted(out.rglob("f"))] == ["amd64", "arm64"]
    assert name in corten("images", "--format", "{{.Repository}}:{{.Tag}}").stdout


def test_saved_and_loaded_by_others(corten: Corten, context: Path, tmp_path: Path) -> None:
    require("skopeo")
    archive = tmp_path / "image.tar"
    corten("build", "-t", "app:1", "-o", f"type=docker,dest={archive},compression=zstd", str(context))
    skopeo = Command("skopeo")
    skopeo("copy", f"oci-archive:{archive}:1", f"dir:{tmp_path / 'oci'}")
    subprocess.run(["tar", "-tf", archive], check=True, capture_output=True)
    loaded = corten("load", "-i", str(archive)).stdout
    assert "app:1" in loaded
    assert corten("run", "--rm", "--network", "none", "app:1").stdout == "made\n"


def test_estargz(
    corten: Corten, server: RegistryServer, other: Corten, context: Path, tmp_path: Path
) -> None:
    """The archive, the store, a registry and both kinds of cache have the same layers; what is run has the
    files that were built, and none that eStargz adds."""
    require("skopeo")
    archive, name = tmp_path / "image.tar", f"{server.host}/lazy:1"
    outputs = (f"type=docker,dest={archive}", "type=image,push=true")
    arguments = [word for output in outputs for word in ("-o", f"{output},compression=estargz")]
    to_registry = f"type=registry,ref={name}-cache,compression=estargz"
    caches = ("--cache-to", "type=inline", "--cache-to", to_registry)
    corten("build", "-t", name, *arguments, *caches, str(context))
    Command("skopeo")("copy", f"docker-archive:{archive}", f"dir:{tmp_path / 'plain'}")
    Command("skopeo")("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path / 'oci'}:1")
    blobs = tmp_path / "oci" / "blobs" / "sha256"

    def read(digest: str) -> bytes:
        return (blobs / digest.removeprefix("sha256:")).read_bytes()

    index = json.loads((tmp_path / "oci" / "index.json").read_text())
    manifest = json.loads(read(index["manifests"][0]["digest"]))
    diff_ids = json.loads(read(manifest["config"]["digest"]))["rootfs"]["diff_ids"]
    built = [(layer, diff) for layer, diff in zip(manifest["layers"], diff_ids, strict=True)][1:]
    assert built
    for layer, diff_id in built:
        blob = read(layer["digest"])
        plain = gzip.decompress(blob)
        assert diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
        assert layer["annotations"] == {
            "containerd.io/snapshot/stargz/toc.digest": toc(blob)[1],
            "io.containers.estargz.uncompressed-size": str(len(plain)),
        }
        assert files(blob)[".no.prefetch.landmark"] == b"\x0f"
    listing = corten("run", "--rm", "--network", "none", name, "ls", "-A", "/").stdout.split()
    assert "app" in listing
    assert not {"stargz.index.json", ".no.prefetch.landmark"} & set(listing)
    assert "lazy:1" in other("load", "-i", str(archive)).stdout
    assert other("run", "--rm", "--network", "none", name).stdout == "made\n"
    other("rmi", "-f", name)
    for number, place in enumerate((name, f"{name}-cache")):
        log = other(
            *("build", "--progress", "plain", "-t", f"again:{number}", "--cache-from", place),
            *("-o", "type=image,compression=estargz", str(context)),
        ).stderr
        assert log.count("CACHED") >= 4, log
        assert other("run", "--rm", "--network", "none", f"again:{number}").stdout == "made\n"
        other("rmi", f"again:{number}")
        other("builder", "prune", "-af")


@pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs uidmap")
def test_one_digest_as_root_and_as_an_ordinary_user(
    corten: Corten, user: OrdinaryUser, tmp_path: Path
) -> None:
    """Layers are images of EROFS for the one, and directories for the other; their tars are the same."""
    dockerfile = (
        "FROM busybox\nCOPY --chown=1000:1000 . /app/\nCOPY --link x /linked/x\n"
        "RUN rm -r /data && mkdir /data && echo 1 > /data/new && rm /app/d/e && chmod 4755 /bin/busybox"
        " && ln -s /x /app/l\nRUN rm -r /app\n"
    )
    context = write_context(
        user.home / "context", {"Dockerfile": dockerfile, "x": "hello\n", "d/e": "deep\n", "long" * 40: "1"}
    )
    for path in (context, *context.rglob("*")):
        os.chown(path, UID, UID)
    digests = set()
    for number, build in enumerate((corten, user.corten)):
        metadata = user.home / f"{number}.json"
        build("build", "--metadata-file", str(metadata), "-t", "same", str(context))
        digests.add(json.loads(metadata.read_bytes())["containerimage.digest"])
    assert len(digests) == 1
