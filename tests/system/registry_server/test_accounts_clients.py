"""Real clients sign in, push and pull at a registry with accounts, and are refused what they may not do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("argon2")
pytest.importorskip("jwt")

from tests.docker_daemon import docker_daemon
from tests.registry_accounts import UNLIMITED, Accounts, basic, everywhere
from tests.registry_server import ServerProcess, digest_of, make_image
from tests.system.cli.conftest import Corten
from tests.system.conftest import clean, leftovers
from tests.system.registry_server.clients import Command, layout_of_busybox, needs

PASSWORD = "a $ecret: with ü"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """alice pushes to team/**, everybody pulls from public/**; busybox is in both, and in private."""
    directory = tmp_path_factory.mktemp("accounts")
    server = ServerProcess(directory, workers=2, limits=UNLIMITED).start()
    skopeo = Command(needs("skopeo"))
    layout = layout_of_busybox(directory / "layout")
    for repository in ("team/busybox", "public/busybox", "private/busybox"):
        target = f"docker://{server.host}/{repository}:1"
        skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}:latest", target)
    accounts = Accounts(server)
    accounts.add("alice", PASSWORD, "pull,push,delete:team/**")
    accounts.run("user", "grant", "anonymous", "pull:public/**")
    granted = "/v2/public/busybox/manifests/1"
    everywhere(server, lambda c: c.get(granted, Authorization=basic("alice", PASSWORD)).status, 200)
    everywhere(server, lambda c: c.get("/v2/").status, 401)
    yield server
    server.close()


def test_skopeo(server: ServerProcess, tmp_path: Path) -> None:
    auth = tmp_path / "auth.json"
    auth.write_text("{}")
    skopeo = Command(needs("skopeo"), REGISTRY_AUTH_FILE=str(auth))
    insecure, both = "--tls-verify=false", ("--src-tls-verify=false", "--dest-tls-verify=false")
    source, target = f"docker://{server.host}/team/busybox:1", f"docker://{server.host}/team/skopeo:1"
    assert "unauthorized" in skopeo("inspect", insecure, source, code=1).lower()
    skopeo("inspect", insecure, f"docker://{server.host}/public/busybox:1")
    skopeo("login", insecure, "-u", "alice", "--password-stdin", server.host, input=b"wrong", code=1)
    skopeo("login", insecure, "-u", "alice", "--password-stdin", server.host, input=PASSWORD.encode())
    skopeo("copy", *both, source, target)
    assert json.loads(skopeo("list-tags", insecure, target.removesuffix(":1")))["Tags"] == ["1"]
    skopeo("delete", insecure, target)
    denied = f"docker://{server.host}/private/skopeo:1"
    assert "Forbidden" in skopeo("copy", *both, source, denied, code=1)
    skopeo("inspect", insecure, f"docker://{server.host}/private/busybox:1", code=1)


@pytest.mark.root
def test_podman(server: ServerProcess, short_tmp: Path) -> None:
    (short_tmp / "auth.json").write_text("{}")
    podman = Command(
        needs("podman"),
        *("--root", str(short_tmp / "s"), "--runroot", str(short_tmp / "r"), "--storage-driver", "vfs"),
        REGISTRY_AUTH_FILE=str(short_tmp / "auth.json"),
    )
    source, target = f"{server.host}/team/busybox:1", f"{server.host}/team/podman:1"
    podman("pull", "-q", "--tls-verify=false", f"{server.host}/public/busybox:1")
    podman("pull", "-q", "--tls-verify=false", source, code=125)
    login = ("login", "--tls-verify=false", "-u", "alice", "--password-stdin", server.host)
    podman(*login, input=b"wrong", code=125)
    podman(*login, input=PASSWORD.encode())
    podman("pull", "-q", "--tls-verify=false", source)
    podman("tag", source, target, f"{server.host}/private/podman:1")
    podman("push", "-q", "--tls-verify=false", target)
    assert "Forbidden" in podman(
        "push", "-q", "--tls-verify=false", f"{server.host}/private/podman:1", code=125
    )
    podman("logout", server.host)
    podman("pull", "-q", "--tls-verify=false", target, code=125)


@pytest.mark.root
@pytest.mark.docker_cli
def test_docker(server: ServerProcess, short_tmp: Path) -> None:
    """Docker's own daemon; docker login keeps a sign-in that lasts in the place of the password."""
    with docker_daemon(short_tmp) as address:
        config = short_tmp / "config"
        docker = Command("docker", "-H", address, DOCKER_CONFIG=str(config))
        _use_docker(docker, server, config / "config.json")


def _use_docker(docker: Command, server: ServerProcess, config: Path) -> None:
    source, target = f"{server.host}/team/busybox:1", f"{server.host}/team/docker:1"
    docker("pull", f"{server.host}/public/busybox:1")
    docker("pull", source, code=1)
    docker("login", "-u", "alice", "--password-stdin", server.host, input=b"wrong", code=1)
    said = docker("login", "-u", "alice", "--password-stdin", server.host, input=PASSWORD.encode())
    assert "Login Succeeded" in said
    kept = json.loads(config.read_text())["auths"][server.host]
    assert kept["identitytoken"].startswith("corten-refresh-") and PASSWORD not in config.read_text()
    docker("pull", source)
    docker("tag", source, target)
    docker("push", target)
    private = f"{server.host}/private/docker:1"
    docker("tag", source, private)
    assert "denied" in docker("push", private, code=1)
    docker("pull", f"{server.host}/private/busybox:1", code=1)
    docker("rmi", target)
    docker("pull", target)
    docker("logout", server.host)
    docker("pull", target, code=1)


@pytest.mark.root
def test_corten(server: ServerProcess, busybox_archive: Path, short_tmp: Path) -> None:
    corten = Corten(short_tmp)
    corten.environment["DOCKER_CONFIG"] = str(short_tmp / "docker")
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        corten.environment.pop(name, None)
    source, target = f"{server.host}/team/busybox:1", f"{server.host}/team/corten:1"
    try:
        corten("load", "-i", str(busybox_archive))
        corten("pull", f"{server.host}/public/busybox:1")
        assert "log in" in corten("pull", source, check=1).stderr
        login = ("login", "-u", "alice", "--password-stdin", server.host)
        assert "Login Succeeded" not in corten(*login, input=b"wrong", check=1).stdout
        assert "Login Succeeded" in corten(*login, input=PASSWORD.encode()).stdout
        corten("pull", source)
        corten("tag", "busybox", target)
        corten("push", target)
        corten("rmi", target)
        corten("pull", target)
        corten("tag", "busybox", f"{server.host}/private/corten:1")
        assert "may not" in corten("push", f"{server.host}/private/corten:1", check=1).stderr
        copy = ("copy", "--src-tls-verify=false", "--dest-tls-verify=false")
        corten(*copy, f"docker://{source}", f"docker://{server.host}/team/copied:1")
        corten("logout", server.host)
        corten("pull", "-q", source, check=1)
        corten("engine", "stop")
        left = leftovers(corten.paths)
        assert not left, left
    finally:
        clean(corten.paths)


def test_oras(server: ServerProcess, tmp_path: Path) -> None:
    """An artifact by the Python client of ORAS, which gets Bearer tokens; the user is a robot."""
    pytest.importorskip("oras")
    token = Accounts(server).robot("charts", "pull,push:team/charts/*")
    everywhere(server, lambda c: c.get("/v2/", Authorization=basic("robot$charts", token)).status, 200)
    program = f"""
import oras.client
client = oras.client.OrasClient(
    hostname={server.host!r}, insecure=True, tls_verify=False, auth_backend="token"
)
client.auth.set_basic_auth("robot$charts", {token!r})
client.push(target="{server.host}/team/charts/one:v1", files=["chart.txt:application/vnd.example.chart"])
print(client.pull(target="{server.host}/team/charts/one:v1", outdir="out"))
print(client.get_tags("{server.host}/team/charts/one"))
"""
    (tmp_path / "chart.txt").write_text("a chart")
    out = Command(sys.executable)("-W", "ignore", "-c", program, cwd=tmp_path)
    assert (tmp_path / "out/chart.txt").read_text() == "a chart"
    assert "['v1']" in out


def test_curl_by_basic(server: ServerProcess) -> None:
    """Without a token; and one hash does for many requests."""
    image = make_image()
    client = server.client()
    sent = {"Authorization": basic("alice", PASSWORD)}
    for blob in image.blobs:
        answer = client.request("POST", "/v2/team/curl/blobs/uploads/", b"", sent)
        assert answer.status == 202
        target = f"{answer.header('Location')}?digest={digest_of(blob)}"
        assert client.request("PUT", target, blob, sent).status == 201
    answer = client.request("PUT", "/v2/team/curl/manifests/1", image.payload, sent)
    assert answer.status == 201
