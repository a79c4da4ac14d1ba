"""What corten pushes, saves and copies, others pull, load and copy; and the other way round."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from corten.oci.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from tests.system.cli.conftest import Corten
from tests.system.registry.conftest import Command, RegistryServer, require

pytestmark = pytest.mark.root

RUN = ("run", "--rm", "--network", "none")


def works(corten: Corten, name: str) -> None:
    """The image can be run, and is what it was."""
    assert corten(*RUN, name, "cat", "/data/seed").stdout == "seed\n"


def image_of(name: str) -> str:
    """The id of what the registry has under a name."""
    host, _, rest = name.partition("/")
    repository, _, tag = rest.rpartition(":")
    request = urllib.request.Request(
        f"http://{host}/v2/{repository}/manifests/{tag}",
        headers={"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["config"]["digest"])


def test_dockerd_pulls_and_pushes(
    corten: Corten, dockerd: Command, server: RegistryServer, pushed: Callable[[str], str]
) -> None:
    name = pushed("dockerd:1")
    assert "Downloaded newer image" in dockerd("pull", name)
    assert dockerd("inspect", "--format", "{{.Id}}", name).strip() == image_of(name)
    back = f"{server.host}/from-dockerd:1"
    dockerd("tag", name, back)
    dockerd("push", back)
    corten("pull", back)
    works(corten, back)
    assert image_of(back) == image_of(name)


def test_dockerd_loads_and_saves(corten: Corten, dockerd: Command, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    corten("tag", "busybox", "for-dockerd:1")
    corten("save", "-o", str(archive), "for-dockerd:1")
    assert "Loaded image: for-dockerd:1" in dockerd("load", "-i", archive)
    corten("copy", f"docker-archive:{archive}", f"docker-archive:{tmp_path}/b.tar:copied/for-dockerd:2")
    assert "Loaded image: copied/for-dockerd:2" in dockerd("load", "-i", tmp_path / "b.tar")
    dockerd("tag", "for-dockerd:1", "from-dockerd:1")
    dockerd("save", "-o", tmp_path / "c.tar", "from-dockerd:1")
    assert corten("load", "-i", str(tmp_path / "c.tar")).stdout == "Loaded image: from-dockerd:1\n"
    works(corten, "from-dockerd:1")


def test_podman_pulls_and_pushes(
    corten: Corten, podman: Command, server: RegistryServer, pushed: Callable[[str], str]
) -> None:
    name = pushed("podman:1")
    podman("pull", "-q", "--tls-verify=false", name)
    assert f"sha256:{podman('inspect', '--format', '{{.Id}}', name).strip()}" == image_of(name)
    back = f"{server.host}/from-podman:1"
    podman("tag", name, back)
    podman("push", "-q", "--tls-verify=false", back)
    corten("pull", back)
    works(corten, back)


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_podman_loads_and_saves(corten: Corten, podman: Command, tmp_path: Path, format: str) -> None:
    archive, back = tmp_path / "a.tar", tmp_path / "b.tar"
    corten("tag", "busybox", f"for-podman/{format}:1")
    corten("save", "-o", str(archive), f"for-podman/{format}:1")
    podman("load", "-q", "-i", archive)
    podman("save", "-q", "--format", format, "-o", back, f"for-podman/{format}:1")
    corten("rmi", f"for-podman/{format}:1")
    assert f"for-podman/{format}:1" in corten("load", "-i", str(back)).stdout
    loaded = corten("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    works(corten, next(name for name in loaded if f"for-podman/{format}" in name))


@pytest.mark.parametrize(
    "way", ["docker-archive:{}/a.tar:x/y:1", "oci-archive:{}/o.tar:1", "oci:{}/l:1", "dir:{}/d"]
)
def test_skopeo_copies_what_corten_copied(
    corten: Corten,
    skopeo: Command,
    server: RegistryServer,
    pushed: Callable[[str], str],
    tmp_path: Path,
    way: str,
) -> None:
    name = pushed("skopeo:1")
    place = way.format(tmp_path)
    corten("copy", f"docker://{name}", place)
    kind = way.partition(":")[0]
    back = f"{server.host}/from-skopeo:{kind}"
    skopeo("copy", "-q", "--dest-tls-verify=false", place, f"docker://{back}")
    works(corten, back)
    assert image_of(back) == image_of(name)


@pytest.mark.parametrize(
    "way", ["docker-archive:{}/a.tar:x/y:1", "oci-archive:{}/o.tar:1", "oci:{}/l:1", "dir:{}/d"]
)
def test_corten_copies_what_skopeo_copied(
    corten: Corten,
    skopeo: Command,
    server: RegistryServer,
    pushed: Callable[[str], str],
    tmp_path: Path,
    way: str,
) -> None:
    name = pushed("skopeo:1")
    place = way.format(tmp_path)
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", place)
    back = f"{server.host}/to-corten:{way.partition(':')[0]}"
    digest = corten("copy", "-q", place, f"docker://{back}").stdout.strip()
    shown = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{back}"))
    assert shown["Digest"] == digest
    works(corten, back)


def test_several_platforms_go_with_skopeo(
    corten: Corten, skopeo: Command, server: RegistryServer, pushed: Callable[[str], str], tmp_path: Path
) -> None:
    one = pushed("skopeo:1")
    name = f"{server.host}/both:all"
    corten("manifest", "create", name, one)
    corten("manifest", "annotate", "--os", "linux", name, one)
    corten("manifest", "push", "-q", name)
    corten("copy", "--all", f"docker://{name}", f"oci:{tmp_path}/l:all")
    skopeo("copy", "-q", "--all", f"oci:{tmp_path}/l:all", f"dir:{tmp_path}/d")
    digest = corten(
        "copy", "-q", "--all", f"dir:{tmp_path}/d", f"docker://{server.host}/again:all"
    ).stdout.strip()
    raw = json.loads(
        skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/again@{digest}")
    )
    assert len(raw["manifests"]) == 1


def test_umoci_unpacks_and_repacks(
    corten: Corten, server: RegistryServer, pushed: Callable[[str], str], tmp_path: Path
) -> None:
    require("umoci")
    umoci = Command("umoci")
    corten("copy", f"docker://{pushed('skopeo:1')}", f"oci:{tmp_path}/l:1")
    umoci("unpack", "--image", f"{tmp_path}/l:1", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/data/seed").read_text() == "seed\n"
    (tmp_path / "bundle/rootfs/data/more").write_text("more\n")
    umoci("repack", "--image", f"{tmp_path}/l:2", tmp_path / "bundle")
    back = f"{server.host}/from-umoci:2"
    corten("copy", f"oci:{tmp_path}/l:2", f"docker://{back}")
    assert corten(*RUN, back, "cat", "/data/more").stdout == "more\n"


def test_copy_needs_no_engine(server: RegistryServer, pushed: Callable[[str], str], tmp_path: Path) -> None:
    name = pushed("skopeo:1")
    alone = Corten(tmp_path / "alone")
    alone("copy", f"docker://{name}", f"docker://{server.host}/no-engine:2")
    alone("manifest", "inspect", f"{server.host}/no-engine:2")
    assert not (tmp_path / "alone").exists()
