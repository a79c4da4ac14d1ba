"""corten pull, push, login, search, run and manifest against docker-registry."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corten.client import Client
from corten.client.results import Progress
from corten.errors import Denied, NotFound
from tests.system.cli.conftest import Corten, Terminal
from tests.system.registry.conftest import PASSWORD, USER, RegistryServer

pytestmark = pytest.mark.root


def test_push_and_pull(corten: Corten, server: RegistryServer, pushed: Callable[[str], str]) -> None:
    name = pushed("push-pull:1")
    said = corten("pull", name).stdout.splitlines()
    assert said[0] == "1: Pulling from push-pull" and said[-1] == name
    assert said[-2] == f"Status: Downloaded newer image for {name}"
    assert any(line.endswith(": Pull complete") for line in said)
    assert not any("Downloading" in line for line in said)
    assert f"Status: Image is up to date for {name}" in corten("pull", name).stdout
    assert corten("run", "--rm", "--network", "none", name, "echo", "hi").stdout == "hi\n"
    digest = next(line.split()[1] for line in said if line.startswith("Digest: "))
    assert corten("pull", "-q", f"{server.host}/push-pull@{digest}").stdout.strip().endswith(digest)
    again = corten("push", name).stdout
    assert "Layer already exists" in again and f"1: digest: {digest}" in again


def test_all_tags(corten: Corten, server: RegistryServer) -> None:
    repository = f"{server.host}/all-tags"
    for tag in ("a", "b", "c"):
        corten("tag", "busybox", f"{repository}:{tag}")
    corten("push", "-a", repository)
    corten("rmi", *(f"{repository}:{tag}" for tag in "abc"))
    corten("pull", "-a", repository)
    tags = corten("images", "--format", "{{.Tag}}", repository).stdout.split()
    assert sorted(tags) == ["a", "b", "c"]


def test_run_pulls_what_is_missing(corten: Corten, pushed: Callable[[str], str]) -> None:
    name = pushed("run-pulls:1")
    done = corten("run", "--rm", "--network", "none", "-i", name, "cat", input=b"through\n")
    assert done.stdout == "through\n"
    assert done.stderr.splitlines()[0] == f"Unable to find image '{name}' locally"
    assert f"Status: Downloaded newer image for {name}" in done.stderr
    done = corten("run", "--rm", "--network", "none", name, "true")
    assert done.stderr == ""
    done = corten("run", "--rm", "--network", "none", "--pull", "always", name, "true")
    assert "Image is up to date" in done.stderr
    corten("rmi", name)
    assert corten("run", "--rm", "-q", "--network", "none", name, "echo", "x").stdout == "x\n"
    corten("rmi", name)
    assert "--pull never" in corten("run", "--rm", "--pull", "never", name, "true", check=125).stderr


def test_what_does_not_exist(corten: Corten, server: RegistryServer) -> None:
    message = corten("pull", f"{server.host}/nothing:1", check=1).stderr
    assert "nothing:1" in message and "manifest unknown" in message
    message = corten("push", f"{server.host}/nothing:1", check=1).stderr
    assert "does not exist locally" in message


def test_passwords(corten: Corten, private: RegistryServer) -> None:
    name = f"{private.host}/secret:1"
    corten("tag", "busybox", name)
    assert corten("push", name, check=1).stderr
    message = corten("login", "-u", USER, "--password-stdin", private.host, input=b"wrong", check=1).stderr
    assert "log in" in message
    done = corten("login", "-u", USER, "--password-stdin", private.host, input=f"{PASSWORD}\n".encode())
    assert done.stdout == "Login Succeeded\n"
    config = Path(corten.environment["DOCKER_CONFIG"]) / "config.json"
    assert list(json.loads(config.read_text())["auths"]) == [private.host]
    corten("push", name)
    corten("rmi", name)
    corten("run", "--rm", "--network", "none", name, "true")
    assert corten("search", f"{private.host}/sec").stdout.splitlines()[1].startswith(f"{private.host}/secret")
    assert corten("login", private.host).stdout == "Login Succeeded\n"
    corten("logout", private.host)
    assert corten("pull", name, check=1).stderr


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_a_login_at_a_terminal_does_not_echo(
    corten: Corten, private: RegistryServer, terminals: list[Terminal]
) -> None:
    terminal = Terminal(corten, "login", private.host)
    terminals.append(terminal)
    terminal.expect("Username: ")
    terminal.type(f"{USER}\n")
    terminal.expect("Password: ")
    terminal.type(f"{PASSWORD}\n")
    terminal.expect("Login Succeeded")
    assert terminal.wait() == 0
    assert PASSWORD.encode() not in terminal.seen


def test_bars_at_a_terminal(corten: Corten, pushed: Callable[[str], str], terminals: list[Terminal]) -> None:
    terminal = Terminal(corten, "pull", pushed("bars:1"))
    terminals.append(terminal)
    terminal.expect("Status: Downloaded newer image")
    terminal.expect("Pull complete")
    assert terminal.wait() == 0


def test_search(corten: Corten, server: RegistryServer, pushed: Callable[[str], str]) -> None:
    pushed("found/by-search:1")
    lines = corten("search", "--format", "{{.Name}}", f"{server.host}/by-search").stdout.splitlines()
    assert lines == [f"{server.host}/found/by-search"]


def test_manifest_lists(corten: Corten, server: RegistryServer, pushed: Callable[[str], str]) -> None:
    one = pushed("lists:amd64")
    other = pushed("elsewhere:arm64")
    name = f"{server.host}/lists:all"
    assert corten("manifest", "create", name, one).stdout == f"Created manifest list {name}\n"
    assert "--amend" in corten("manifest", "create", name, other, check=1).stderr
    assert corten("manifest", "push", name).returncode == 0
    corten("import", "-", f"{server.host}/elsewhere:arm64", input=_empty_tar())
    corten("push", "-q", f"{server.host}/elsewhere:arm64")
    corten("manifest", "create", "--amend", name, other)
    corten("manifest", "annotate", "--arch", "arm64", "--variant", "v8", name, other)
    corten("manifest", "push", "--purge", name)
    index = json.loads(corten("manifest", "inspect", name).stdout)
    platforms = [entry["platform"]["architecture"] for entry in index["manifests"]]
    assert platforms == [os.uname().machine.replace("x86_64", "amd64"), "arm64"]
    verbose = json.loads(corten("manifest", "inspect", "-v", name).stdout)
    assert [item["Descriptor"]["platform"]["architecture"] for item in verbose] == platforms
    corten("pull", name)
    corten("run", "--rm", "--network", "none", name, "true")
    assert "No such manifest" in corten("manifest", "rm", name, check=1).stderr


def _empty_tar() -> bytes:
    return bytes(10240)


def test_python_api(
    corten: Corten,
    server: RegistryServer,
    private: RegistryServer,
    pushed: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", corten.environment["DOCKER_CONFIG"])
    corten("engine", "start")
    seen: list[Progress] = []
    name = f"{server.host}/python:1"
    with Client(f"unix://{corten.paths.socket}") as client:
        client.images.pull(pushed("source:1"))
        client.images.tag(f"{server.host}/source:1", f"{server.host}/python", "1")
        digest = client.images.push(name)
        client.images.remove(f"{server.host}/source:1")
        client.images.remove(name)
        assert client.images.pull(name, report=seen.append) == digest
        assert "Pull complete" in [step.text for step in seen]
        assert client.images.distribution(name).descriptor.digest == digest
        with pytest.raises(NotFound):
            client.images.pull(f"{server.host}/python:2")
        with pytest.raises(Denied):
            client.images.login(USER, "wrong", private.host)
        client.images.login(USER, PASSWORD, private.host)
        assert client.images.logout(private.host)


def test_a_client_that_goes_away_takes_only_its_own_pull(
    corten: Corten, server: RegistryServer, tmp_path: Path
) -> None:
    """Two pull the same, one of them is killed in the middle: the other gets its image."""
    layer = tmp_path / "layer.tar"
    layer.write_bytes(_tar_of_noise(24 << 20))
    name = f"{server.host}/shared:1"
    corten("import", str(layer), name)
    corten("push", "-q", name)
    corten("rmi", name)
    server.process.send_signal(19)  # SIGSTOP: nothing comes until both wait
    try:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        killed, kept = (corten.popen("pull", name, **pipes) for _ in range(2))
        time.sleep(0.4)
    finally:
        server.process.send_signal(18)
    killed.kill()
    out, error = kept.communicate(timeout=60)
    assert kept.returncode == 0, error
    assert f"Downloaded newer image for {name}" in out.decode()


def test_a_pull_whose_client_goes_away_ends(corten: Corten, server: RegistryServer, tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(_tar_of_noise(1 << 20))
    name = f"{server.host}/left:1"
    corten("import", str(layer), name)
    corten("push", "-q", name)
    corten("rmi", name)
    server.process.send_signal(19)
    try:
        pulling = corten.popen("pull", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.3)
        pulling.kill()
        pulling.wait(10)
        time.sleep(0.2)
    finally:
        server.process.send_signal(18)
    time.sleep(0.5)
    assert name not in corten("images", "--format", "{{.Repository}}:{{.Tag}}").stdout
    corten("pull", name)


def _tar_of_noise(size: int) -> bytes:
    import io
    import random
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("noise")
        info.size = size
        tar.addfile(info, io.BytesIO(random.Random(size).randbytes(size)))
    return buffer.getvalue()


def test_pulls_at_the_same_time(corten: Corten, pushed: Callable[[str], str]) -> None:
    names = [pushed(f"many{number}:1") for number in range(3)]
    results: list[int] = []

    def pull(name: str) -> None:
        results.append(corten("pull", "-q", name).returncode)

    threads = [threading.Thread(target=pull, args=(name,)) for name in names * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 9
