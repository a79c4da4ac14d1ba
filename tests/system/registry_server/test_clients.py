"""Real clients push and pull: skopeo, podman, buildah, umoci, docker, oras, corten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_daemon import docker_daemon
from tests.registry_server import OCI_MANIFEST, Client, ServerProcess, descriptor, digest_of, make_image
from tests.system.registry_server.clients import layout_of_busybox, needs


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=240,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image layout with busybox, made by hand."""
    return layout_of_busybox(tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="module")
def pushed(server: ServerProcess, layout: Path) -> str:
    """The name of busybox in the registry, put there by skopeo."""
    needs("skopeo")
    name = f"{server.host}/clients/busybox:latest"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:latest", f"docker://{name}")
    return name


def test_skopeo(server: ServerProcess, client: Client, pushed: str, tmp_path: Path) -> None:
    found = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{pushed}"))
    stored = client.head("/v2/clients/busybox/manifests/latest")
    assert found["Digest"] == stored.header("Docker-Content-Digest")
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{pushed}", f"dir:{tmp_path}/dir")
    copy = f"{server.host}/clients/copy"
    # The other repository's blobs are mounted, not sent again; and Docker's types are accepted.
    both = ("--src-tls-verify=false", "--dest-tls-verify=false")
    for tag, format_ in (("oci", "oci"), ("v2s2", "v2s2")):
        run("skopeo", "copy", *both, "--format", format_, f"docker://{pushed}", f"docker://{copy}:{tag}")
    tags = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{copy}"))
    assert tags["Tags"] == ["oci", "v2s2"]
    run("skopeo", "delete", "--tls-verify=false", f"docker://{copy}:oci")
    assert client.get("/v2/clients/copy/manifests/oci").status == 404


def test_skopeo_sync_and_zstd(server: ServerProcess, pushed: str, tmp_path: Path) -> None:
    name = f"docker://{server.host}/clients/zstd:latest"
    both = ("--src-tls-verify=false", "--dest-tls-verify=false")
    run("skopeo", "copy", *both, "--dest-compress-format", "zstd", f"docker://{pushed}", name)
    run("skopeo", "copy", "--src-tls-verify=false", name, f"oci-archive:{tmp_path}/zstd.tar")


def test_umoci(server: ServerProcess, pushed: str, tmp_path: Path) -> None:
    """A layout that umoci has changed comes into the registry and back."""
    needs("umoci")
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{pushed}", f"oci:{tmp_path}/layout:latest")
    run("umoci", "config", "--image", f"{tmp_path}/layout:latest", "--config.label", "by=umoci")
    name = f"docker://{server.host}/clients/umoci:latest"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:latest", name)
    found = json.loads(run("skopeo", "inspect", "--tls-verify=false", name))
    assert found["Labels"] == {"by": "umoci"}


@pytest.fixture
def containers_storage(short_tmp: Path) -> Iterator[tuple[str, ...]]:
    """Options that keep podman's and buildah's storage to this test."""
    yield ("--root", str(short_tmp / "root"), "--runroot", str(short_tmp / "run"), "--storage-driver", "vfs")


@pytest.mark.root
@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_podman_and_buildah(
    server: ServerProcess, client: Client, pushed: str, containers_storage: tuple[str, ...], program: str
) -> None:
    needs(program)
    tool = (program, *containers_storage)
    insecure = "--tls-verify=false"
    run(*tool, "pull", insecure, pushed)
    name = f"{server.host}/clients/{program}:1"
    run(*tool, "tag", pushed, name)
    run(*tool, "push", insecure, name)
    run(*tool, "rmi", "--force", name, pushed)
    run(*tool, "pull", insecure, name)
    assert client.get(f"/v2/clients/{program}/tags/list").json()["tags"] == ["1"]
    index = f"{server.host}/clients/{program}:multi"
    run(*tool, "manifest", "create", index)
    run(*tool, "manifest", "add", insecure, index, f"docker://{pushed}")
    run(*tool, "manifest", "push", "--all", insecure, index, f"docker://{index}")
    assert client.get(f"/v2/clients/{program}/manifests/multi").json()["manifests"]


@pytest.mark.root
@pytest.mark.docker_cli
def test_docker(server: ServerProcess, client: Client, pushed: str, short_tmp: Path) -> None:
    """Docker's own daemon, with a directory of its own; its registries on loopback may be plain HTTP."""
    with docker_daemon(short_tmp) as address:
        docker = ("docker", "-H", address)
        run(*docker, "pull", pushed)
        name = f"{server.host}/clients/docker:1"
        run(*docker, "tag", pushed, name)
        run(*docker, "push", name)
        run(*docker, "rmi", name, pushed)
        run(*docker, "pull", name)
        assert client.get("/v2/clients/docker/manifests/1").status == 200


def test_oras(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """An artifact, by the Python client of ORAS."""
    pytest.importorskip("oras")
    program = f"""
import oras.client
client = oras.client.OrasClient(hostname={server.host!r}, insecure=True, tls_verify=False)
client.push(target="{server.host}/clients/artifact:v1", files=["chart.txt:application/vnd.example.chart"],
    manifest_annotations={{"org.example": "yes"}})
print(client.pull(target="{server.host}/clients/artifact:v1", outdir="out"))
print(client.get_tags("{server.host}/clients/artifact"))
"""
    (tmp_path / "chart.txt").write_text("a chart")
    out = run(sys.executable, "-W", "ignore", "-c", program, cwd=tmp_path)
    assert (tmp_path / "out/chart.txt").read_text() == "a chart"
    assert "['v1']" in out
    document = client.get("/v2/clients/artifact/manifests/v1").json()
    assert document["annotations"] == {"org.example": "yes"}


def test_oras_sends_chunks_and_refers(server: ServerProcess, client: Client, tmp_path: Path) -> None:
    """A file in chunks, and an SBOM of it that names it as its subject."""
    pytest.importorskip("oras")
    program = f"""
import oras.client, oras.oci
client = oras.client.OrasClient(hostname={server.host!r}, insecure=True, tls_verify=False)
target = "{server.host}/clients/chunked:v1"
pushed = client.push(target=target, files=["large.bin:application/vnd.example.model"], do_chunked=True,
    chunk_size=100_000)
subject = oras.oci.Subject.from_manifest(client.get_manifest(target))
client.push(target="{server.host}/clients/chunked:sbom", files=["sbom.json:application/spdx+json"],
    subject=subject)
client.pull(target=target, outdir="out")
print(client.get_tags("{server.host}/clients/chunked"))
"""
    (tmp_path / "large.bin").write_bytes(os.urandom(1_234_567))
    (tmp_path / "sbom.json").write_text("{}")
    out = run(sys.executable, "-W", "ignore", "-c", program, cwd=tmp_path)
    assert (tmp_path / "out/large.bin").read_bytes() == (tmp_path / "large.bin").read_bytes()
    assert "['sbom', 'v1']" in out
    document = client.get("/v2/clients/chunked/manifests/sbom").json()
    listed = client.get(f"/v2/clients/chunked/referrers/{document['subject']['digest']}").json()["manifests"]
    digest = client.head("/v2/clients/chunked/manifests/sbom").header("Docker-Content-Digest")
    assert [entry["digest"] for entry in listed] == [digest]


@pytest.mark.root
def test_buildah_builds_on_what_it_pulls(
    server: ServerProcess, client: Client, pushed: str, containers_storage: tuple[str, ...], tmp_path: Path
) -> None:
    """FROM an image of the registry, a layer on it, pushed: the base is not sent again."""
    needs("buildah")
    (tmp_path / "Containerfile").write_text(f"FROM {pushed}\nCOPY greeting /greeting\n")
    (tmp_path / "greeting").write_text("hello")
    tool = ("buildah", *containers_storage)
    name = f"{server.host}/clients/built:1"
    run(*tool, "build", "--isolation=chroot", "--tls-verify=false", "-t", name, str(tmp_path))
    run(*tool, "push", "--tls-verify=false", name)
    base = json.loads(client.get("/v2/clients/busybox/manifests/latest").body)
    built = json.loads(client.get("/v2/clients/built/manifests/1").body)
    assert len(built["layers"]) == len(base["layers"]) + 1
    assert built["layers"][0]["digest"] == base["layers"][0]["digest"]


@pytest.mark.root
def test_umoci_adds_a_layer(server: ServerProcess, client: Client, pushed: str, tmp_path: Path) -> None:
    """Unpacked, changed, packed again, pushed."""
    needs("umoci")
    layout = f"{tmp_path}/layout"
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{pushed}", f"oci:{layout}:latest")
    run("umoci", "unpack", "--image", f"{layout}:latest", f"{tmp_path}/bundle")
    (tmp_path / "bundle/rootfs/added").write_text("by umoci")
    run("umoci", "repack", "--image", f"{layout}:changed", f"{tmp_path}/bundle")
    name = f"docker://{server.host}/clients/umoci-layer:latest"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:changed", name)
    document = client.get("/v2/clients/umoci-layer/manifests/latest").json()
    assert len(document["layers"]) == 2
    run("skopeo", "copy", "--src-tls-verify=false", name, f"dir:{tmp_path}/back")


EMPTY = b"{}"
ARTIFACTS = [
    # cosign's signatures and attestations, by their tags and (since 2.x) as referrers.
    (
        ".sig",
        "",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.dev.cosign.simplesigning.v1+json",
    ),
    (".att", "", "application/vnd.oci.image.config.v1+json", "application/vnd.dsse.envelope.v1+json"),
    (".sbom", "", "application/vnd.oci.image.config.v1+json", "text/spdx+json"),
    (
        "",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.oci.empty.v1+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    ),
    (
        "",
        "application/vnd.cncf.notary.signature",
        "application/vnd.oci.empty.v1+json",
        "application/jose+json",
    ),
]


@pytest.mark.parametrize(("suffix", "artifact_type", "config_type", "layer_type"), ARTIFACTS)
def test_what_signs_an_image(
    server: ServerProcess, client: Client, suffix: str, artifact_type: str, config_type: str, layer_type: str
) -> None:
    image = make_image()
    client.push_image("clients/artifacts", "latest", image)
    payload = os.urandom(200)
    for blob in (EMPTY, payload):
        client.push_blob("clients/artifacts", blob)
    layer = descriptor(payload, layer_type, annotations={"dev.cosignproject.cosign/signature": "MEUCIQ=="})
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(EMPTY, config_type),
        "layers": [layer],
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }
    if not suffix:
        document |= {"subject": image.descriptor, "artifactType": artifact_type}
    manifest = json.dumps(document).encode()
    reference = image.digest.replace(":", "-") + suffix if suffix else digest_of(manifest)
    answer = client.push_manifest("clients/artifacts", reference, manifest)
    assert answer.status == 201
    assert client.get(f"/v2/clients/artifacts/manifests/{reference}").body == manifest
    path = f"/v2/clients/artifacts/referrers/{image.digest}"
    listed = client.get(path).json()["manifests"]
    if suffix:
        assert listed == []
        return
    assert answer.header("OCI-Subject") == image.digest
    (entry,) = listed
    assert (entry["digest"], entry["artifactType"]) == (digest_of(manifest), artifact_type)
    assert entry["annotations"] == document["annotations"]
    filtered = client.get(f"{path}?artifactType={artifact_type.replace('+', '%2B')}")
    assert filtered.json()["manifests"] == [entry]
    assert filtered.header("OCI-Filters-Applied") == "artifactType"
    assert client.get(f"{path}?artifactType=a/b").json()["manifests"] == []


def test_helm_chart(server: ServerProcess, client: Client) -> None:
    """As helm push sends it: the tag is the chart's version, a plus is an underscore."""
    config, chart = json.dumps({"name": "web", "version": "1.0.0+b1"}).encode(), os.urandom(3000)
    for blob in (config, chart):
        client.push_blob("clients/charts/web", blob)
    document = {
        "schemaVersion": 2,
        "config": descriptor(config, "application/vnd.cncf.helm.config.v1+json"),
        "layers": [descriptor(chart, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
        "annotations": {"org.opencontainers.image.version": "1.0.0+b1"},
    }
    manifest = json.dumps(document).encode()
    assert client.push_manifest("clients/charts/web", "1.0.0_b1", manifest).status == 201
    answer = client.get("/v2/clients/charts/web/manifests/1.0.0_b1")
    assert (answer.body, answer.header("Content-Type")) == (manifest, OCI_MANIFEST)


def test_signature_as_cosign_stores_it(server: ServerProcess, client: Client) -> None:
    """By a tag that is made of the digest, and as a referrer."""
    image = make_image()
    client.push_image("clients/signed", "latest", image)
    signature = make_image(
        subject=image.descriptor, artifactType="application/vnd.dev.cosign.artifact.sig.v1+json"
    )
    tag = image.digest.replace(":", "-") + ".sig"
    client.push_image("clients/signed", tag, signature)
    listed = client.get(f"/v2/clients/signed/referrers/{image.digest}").json()["manifests"]
    assert [entry["digest"] for entry in listed] == [signature.digest]
    assert client.get(f"/v2/clients/signed/manifests/{tag}").body == signature.payload


def test_corten_copy(server: ServerProcess, client: Client, layout: Path, tmp_path: Path) -> None:
    """corten's own client needs no engine for this."""
    name = f"docker://{server.host}/clients/corten:1"
    corten = (sys.executable, "-m", "corten")
    digest = run(
        *corten, "copy", "--dest-tls-verify=false", f"oci:{layout}:latest", name, CORTEN_ROOT=str(tmp_path)
    ).strip()
    assert client.head("/v2/clients/corten/manifests/1").header("Docker-Content-Digest") in digest
    run(*corten, "copy", "--src-tls-verify=false", name, f"oci:{tmp_path}/back:1", CORTEN_ROOT=str(tmp_path))
    assert (tmp_path / "back/index.json").exists()
