"""The docker command and docker-py, pulling and pushing by corten's engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.cli.conftest import Corten
from tests.system.registry.conftest import PASSWORD, USER, Command, RegistryServer

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]


def test_push_and_pull(docker: Command, server: RegistryServer, pushed: Callable[[str], str]) -> None:
    name = f"{server.host}/docker/app:1"
    source = pushed("docker/source:1")
    docker("pull", source)
    docker("tag", source, name)
    docker("rmi", source)
    assert "1: digest: sha256:" in docker("push", name)
    docker("rmi", name)
    said = docker("pull", name)
    assert f"Status: Downloaded newer image for {name}" in said and "Pull complete" in said
    assert "Image is up to date" in docker("pull", name)
    assert docker("run", "--rm", "--network", "none", name, "echo", "hi") == "hi\n"
    docker("rmi", name)
    assert docker("run", "--rm", "--network", "none", name, "echo", "hi") == "hi\n"
    assert "manifest unknown" in docker("pull", f"{server.host}/docker/nothing:1", code=1)
    assert "does not exist locally" in docker("push", f"{server.host}/docker/nothing:1", code=1)


def test_all_tags(docker: Command, server: RegistryServer) -> None:
    repository = f"{server.host}/docker/all"
    for tag in ("a", "b"):
        docker("tag", "busybox", f"{repository}:{tag}")
    docker("push", "-a", repository)
    docker("rmi", f"{repository}:a", f"{repository}:b")
    docker("pull", "-a", repository)
    assert sorted(docker("images", "--format", "{{.Tag}}", repository).split()) == ["a", "b"]


def test_login(docker: Command, private: RegistryServer) -> None:
    name = f"{private.host}/docker/app:1"
    docker("tag", "busybox", name)
    docker("push", name, code=1)
    assert docker("login", "-u", USER, "--password-stdin", private.host, input=b"wrong", code=1)
    said = docker("login", "-u", USER, "--password-stdin", private.host, input=PASSWORD.encode())
    assert "Login Succeeded" in said
    docker("push", name)
    docker("rmi", name)
    docker("pull", name)
    assert f"{private.host}/docker/app" in docker("search", f"{private.host}/app")
    docker("logout", private.host)
    docker("pull", name, code=1)


def test_search(docker: Command, server: RegistryServer, pushed: Callable[[str], str]) -> None:
    name = pushed("docker/search-me:1").rpartition(":")[0]
    assert docker("search", "--format", "{{.Name}}", f"{server.host}/search-me").split() == [name]


def test_save_and_load(docker: Command, tmp_path: Path) -> None:
    docker("tag", "busybox", "saved:1")
    docker("save", "-o", tmp_path / "a.tar", "saved:1")
    docker("rmi", "saved:1")
    assert docker("load", "-i", tmp_path / "a.tar") == "Loaded image: saved:1\n"
    docker("rmi", "saved:1")


def test_docker_py(corten: Corten, server: RegistryServer, private: RegistryServer) -> None:
    docker = pytest.importorskip("docker")
    corten("engine", "start")
    client = docker.DockerClient(base_url=f"unix://{corten.paths.socket}", version="auto")
    try:
        _docker_py(docker, client, server, private)
    finally:
        client.close()


def _docker_py(docker: Any, client: Any, server: RegistryServer, private: RegistryServer) -> None:
    repository = f"{server.host}/docker-py"
    client.images.get("busybox").tag(repository, "1")
    lines = [json.loads(line) for line in client.images.push(repository, "1").splitlines()]
    digest = lines[-1]["aux"]["Digest"]
    client.images.remove(f"{repository}:1")
    steps = list(client.api.pull(repository, "1", stream=True, decode=True))
    assert steps[0] == {"status": "Pulling from docker-py", "id": "1"}
    assert {"status": f"Digest: {digest}"} in steps
    image = client.images.pull(repository, "1")
    assert image.attrs["RepoDigests"] == [f"{repository}@{digest}"]
    assert client.images.get_registry_data(f"{repository}:1").id == digest
    with pytest.raises(docker.errors.NotFound):
        client.images.pull(repository, "2")
    hits = client.images.search(repository)
    assert [hit["name"] for hit in hits] == [repository]
    secret = f"{private.host}/docker-py"
    image.tag(secret, "1")
    with pytest.raises(docker.errors.APIError):
        client.login(USER, "wrong", registry=private.host)
    account = {"username": USER, "password": PASSWORD}
    lines = client.images.push(secret, "1", auth_config=account, stream=True, decode=True)
    assert "error" not in list(lines)[-1]
    assert client.login(**account, registry=private.host)["Status"] == "Login Succeeded"
    client.images.remove(f"{secret}:1")
    client.images.pull(secret, "1")
