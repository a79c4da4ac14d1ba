"""Real registries behind the cache, and real clients in front of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_daemon import docker_daemon
from tests.docker_registry import DockerRegistry, docker_registry
from tests.registry_server import Client, ServerProcess, digest_of, free_port, index_of, make_image
from tests.system.registry_cache.conftest import Start


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program}")
    return found


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(params=["corten", "docker-registry"])
def upstream_url(request: pytest.FixtureRequest, start: Start, tmp_path: Path) -> Iterator[str]:
    if request.param == "corten":
        yield start().url
        return
    server = DockerRegistry(tmp_path, docker_registry(2))
    yield server.url
    server.close()


def test_what_it_gets_from(start: Start, upstream_url: str) -> None:
    cache = start(upstreams={"up": {"url": upstream_url, "tag-ttl-seconds": 0}}, workers=2)
    upstream, client = Client(upstream_url), cache.client()
    images = [make_image(layers=2, size=300_000) for _ in range(2)]
    for image in images:
        upstream.push_image("app", "1", image)
    index = index_of(*images)
    assert (
        upstream.push_manifest("app", "multi", index, "application/vnd.oci.image.index.v1+json").status == 201
    )
    for _ in range(2):
        assert client.get("/v2/up/app/manifests/1").body == images[1].payload
        assert client.get("/v2/up/app/manifests/multi").body == index
        for image in images:
            assert client.get(f"/v2/up/app/manifests/{image.digest}").body == image.payload
            for blob in image.blobs:
                assert client.get(f"/v2/up/app/blobs/{digest_of(blob)}").body == blob
    upstream.push_image("app", "1", images[0])
    assert client.get("/v2/up/app/manifests/1").body == images[0].payload
    assert cache.run("check", read_blobs=True).returncode == 0
    upstream.close()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image of one small layer, as an OCI layout."""
    source = tmp_path / "source"
    image = make_image(layers=1, size=64)
    blobs = source / "blobs/sha256"
    blobs.mkdir(parents=True)
    tar = subprocess.run(["tar", "-C", "/etc", "-c", "passwd"], capture_output=True, check=True).stdout
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
    }
    data = json.dumps(config).encode()
    image = type(image)(data, (tar,))
    for blob in (*image.blobs, image.payload):
        (blobs / digest_of(blob).partition(":")[2]).write_bytes(blob)
    (source / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {**image.descriptor, "annotations": {"org.opencontainers.image.ref.name": "1"}}
    (source / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return source


@pytest.fixture
def hub(start: Start, layout: Path) -> ServerProcess:
    """A registry that has `library/app:1`."""
    server = start()
    corten = (sys.executable, "-m", "corten", "copy", "--dest-tls-verify=false")
    run(*corten, f"oci:{layout}:1", f"docker://{server.host}/library/app:1", CORTEN_ROOT=str(layout))
    return server


@pytest.fixture
def through(start: Start, hub: ServerProcess) -> ServerProcess:
    return start(upstreams={"docker.io": {"url": hub.url, "library": True, "tag-ttl-seconds": 0}})


def test_corten_and_skopeo(hub: ServerProcess, through: ServerProcess, tmp_path: Path) -> None:
    name = f"docker://{through.host}/docker.io/app:1"
    corten = (sys.executable, "-m", "corten", "copy", "--src-tls-verify=false")
    run(*corten, name, f"oci:{tmp_path}/one:1", CORTEN_ROOT=str(tmp_path))
    needs("skopeo")
    hub.stop()
    run("skopeo", "copy", "--src-tls-verify=false", name, f"oci:{tmp_path}/two:1")
    both = ("--src-tls-verify=false", "--dest-tls-verify=false")
    # A push into the same repository, from itself.
    run("skopeo", "copy", *both, name, f"docker://{through.host}/docker.io/app:mine")
    assert "mine" in run("skopeo", "list-tags", "--tls-verify=false", name.removesuffix(":1"))
    assert through.run("check", read_blobs=True).returncode == 0


@pytest.mark.root
def test_podman_by_its_mirrors(through: ServerProcess, short_tmp: Path) -> None:
    needs("podman")
    config = short_tmp / "registries.conf"
    config.write_text(
        'unqualified-search-registries = ["docker.io"]\n[[registry]]\nlocation = "docker.io"\n'
        f'[[registry.mirror]]\nlocation = "{through.host}/docker.io"\ninsecure = true\n'
    )
    storage = ("--root", str(short_tmp / "root"), "--runroot", str(short_tmp / "run"))
    podman = ("podman", *storage, "--storage-driver", "vfs")
    run(*podman, "pull", "docker.io/library/app:1", CONTAINERS_REGISTRIES_CONF=str(config))
    assert through.client().get("/v2/docker.io/library/app/tags/list").json()["tags"] == ["1"]


@pytest.mark.root
@pytest.mark.docker_cli
def test_docker_by_its_registry_mirrors(start: Start, hub: ServerProcess, short_tmp: Path) -> None:
    through = start(upstreams={"": {"url": hub.url, "library": True}})
    with docker_daemon(short_tmp, "--registry-mirror", through.url) as address:
        run("docker", "-H", address, "pull", "app:1")
        assert through.client().get("/v2/library/app/tags/list").json()["tags"] == ["1"]


def test_from_the_command_line(hub: ServerProcess, tmp_path: Path) -> None:
    """`corten registry serve --upstream`, with a file that has another upstream."""
    port = free_port()
    config = tmp_path / "registry.toml"
    config.write_text(f'[upstreams.second]\nurl = "{hub.url}"\n')
    command = [sys.executable, "-m", "corten", "registry", "serve", "--workers", "1", "--config", str(config)]
    command += [
        "--listen",
        f"127.0.0.1:{port}",
        "--root",
        str(tmp_path / "r"),
        "--upstream",
        f"hub={hub.url}",
    ]
    reader, writer = os.pipe()
    process = subprocess.Popen(
        command,
        env={**os.environ, "CORTEN_READY_FD": str(writer)},
        pass_fds=(writer,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    try:
        with open(reader, "rb") as ready:
            assert ready.read(1) == b"1"
        client = Client(f"http://127.0.0.1:{port}")
        for name in ("hub", "second"):
            assert client.get(f"/v2/{name}/library/app/manifests/1").status == 200
        client.close()
    finally:
        process.terminate()
        process.communicate(timeout=40)


def test_a_mistake_on_the_command_line() -> None:
    command = [sys.executable, "-m", "corten", "registry", "serve", "--upstream", "x=http://far.example"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1 and "would be asked without TLS" in done.stderr


def test_a_registry_that_asks_itself(tmp_path: Path) -> None:
    """It would wait for itself."""
    port = free_port()
    server = ServerProcess(
        tmp_path, listen=[f"127.0.0.1:{port}"], upstreams={"x": {"url": f"http://localhost:{port}"}}
    )
    with pytest.raises(RuntimeError, match="is this registry itself"):
        server.start()
