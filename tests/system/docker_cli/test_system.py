"""version, info, events, df, volumes, networks, doctor's neighbours, and what is not there."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.docker_cli.conftest import IMAGE, Docker

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]


def test_version(docker: Docker) -> None:
    server = json.loads(docker("version", "--format", "{{json .Server}}").out)
    assert (server["ApiVersion"], server["MinAPIVersion"], server["Os"]) == ("1.51", "1.40", "linux")
    assert "Corten" in docker("version").out


@pytest.mark.parametrize("version", ["1.40", "1.41", "1.44"])
def test_older_clients(docker: Docker, version: str) -> None:
    environment = {**docker.environment, "DOCKER_API_VERSION": version}
    for arguments in (
        ("ps",),
        ("images",),
        ("version",),
        ("run", "--rm", "--network", "none", IMAGE, "true"),
    ):
        done = subprocess.run(
            docker.argv(*arguments),
            env=environment,
            capture_output=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr


def test_versions_that_are_refused(docker: Docker) -> None:
    for version, words in (("1.30", "too old"), ("1.99", "too new")):
        environment = {**docker.environment, "DOCKER_API_VERSION": version}
        done = subprocess.run(docker.argv("ps"), env=environment, capture_output=True, timeout=30)
        assert done.returncode == 1 and words in done.stderr.decode()


def test_info(docker: Docker) -> None:
    info = json.loads(docker("info", "--format", "{{json .}}").out)
    assert info["OSType"] == "linux" and info["NCPU"] > 0 and info["MemTotal"] > 0
    assert info["DockerRootDir"] == str(docker.engine.root)
    assert info["Images"] >= 1
    assert "Server Version" in docker("info").out
    before = info["ContainersRunning"]
    docker.running()
    assert json.loads(docker("info", "--format", "{{json .}}").out)["ContainersRunning"] == before + 1


def test_df(docker: Docker) -> None:
    rows = docker("system", "df", "--format", "{{.Type}}").lines
    assert rows[:3] == ["Images", "Containers", "Local Volumes"]
    assert IMAGE.split(":")[0] in docker("system", "df", "-v").out


def test_events(docker: Docker) -> None:
    name = docker.name()
    begin = time.time()
    live = docker.popen(
        "events", "--filter", f"container={name}", "--format", "{{.Action}}", stdout=subprocess.PIPE
    )
    time.sleep(0.5)
    docker("run", "--name", name, "--network", "none", IMAGE, "true")
    docker("rm", name)
    assert live.stdout is not None
    seen = []
    while "destroy" not in seen:
        line = live.stdout.readline().decode().strip()
        assert line, seen
        seen.append(line)
    live.kill()
    live.wait()
    live.stdout.close()
    interesting = [action for action in seen if action in ("create", "attach", "start", "die", "destroy")]
    assert interesting == ["create", "attach", "start", "die", "destroy"]
    past = docker(
        "events", "--since", str(int(begin)), "--until", str(int(time.time()) + 1),
        "--filter", f"container={name}", "--filter", "event=die", "--format", "{{json .}}",
    ).lines  # fmt: skip
    (event,) = [json.loads(line) for line in past]
    assert event["Actor"]["Attributes"]["exitCode"] == "0"
    assert event["Actor"]["Attributes"]["name"] == name and event["Actor"]["Attributes"]["image"] == IMAGE


def test_volumes(docker: Docker) -> None:
    name, volume = docker.name(), docker.name()
    assert docker("volume", "create", "--label", "x=y", volume).out.strip() == volume
    assert volume in docker("volume", "ls", "-q", "--filter", f"name={volume}").lines
    assert docker("volume", "ls", "--filter", "label=x=y", "--format", "{{.Driver}} {{.Name}}").lines == [
        f"local {volume}"
    ]
    (found,) = json.loads(docker("volume", "inspect", volume).out)
    assert found["Name"] == volume and Path(found["Mountpoint"]).is_dir()
    docker(
        "run",
        "--name",
        name,
        "--network",
        "none",
        "-v",
        f"{volume}:/data",
        IMAGE,
        "sh",
        "-c",
        "echo kept > /data/f",
    )
    assert (
        docker("run", "--rm", "--network", "none", "-v", f"{volume}:/d:ro", IMAGE, "cat", "/d/f").out
        == "kept\n"
    )
    assert "in use" in docker("volume", "rm", volume, code=1).err
    assert (
        docker.inspect(name, "{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}}{{end}}")
        == f"volume {volume} /data"
    )
    docker("rm", name)
    assert docker("volume", "rm", volume).out.strip() == volume
    assert "o such volume" in docker("volume", "inspect", volume, code=1).err


def test_anonymous_volumes_go_with_rm(docker: Docker) -> None:
    name = docker.name()
    docker("run", "--name", name, "--network", "none", "-v", "/data", IMAGE, "true")
    volume = docker.inspect(name, "{{range .Mounts}}{{.Name}}{{end}}")
    assert len(volume) == 64
    docker("rm", "-v", name)
    assert docker("volume", "inspect", volume, code=1).err


def test_volume_prune(docker: Docker) -> None:
    label = docker.name()
    volume = docker("volume", "create", "--label", f"suite={label}").out.strip()
    pruned = docker("volume", "prune", "-f", "--filter", f"label=suite={label}")
    assert volume in pruned.out


def test_networks(docker: Docker) -> None:
    assert {"bridge", "host", "none"} <= set(docker("network", "ls", "--format", "{{.Name}}").lines)
    (found,) = json.loads(docker("network", "inspect", "bridge").out)
    assert found["Driver"] == "bridge" and found["IPAM"]["Config"]
    assert docker("network", "inspect", "nowhere", code=1).err


def test_the_default_bridge(docker: Docker) -> None:
    name = docker.name()
    docker("run", "-d", "--name", name, "--stop-signal", "KILL", IMAGE, "sleep", "1000")
    address = docker.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}")
    assert address.count(".") == 3
    assert name in docker("network", "inspect", "bridge").out
    assert address in docker("exec", name, "cat", "/etc/hosts").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pull", "127.0.0.1:1/debian:12"], "pull"),
        (["push", "127.0.0.1:1/nobody"], "does not exist"),
        (["search", "debian"], "search"),
        (["login", "-u", "a", "-p", "b", "127.0.0.1:1"], "127.0.0.1:1"),
        (["network", "create", "mine"], "network"),
        (["service", "ls"], "swarm"),
        (["swarm", "init"], "swarm"),
    ],
)
def test_what_is_not_there_says_so(docker: Docker, arguments: list[str], words: str) -> None:
    result = docker(*arguments, code=1)
    assert words in result.err and "Traceback" not in result.err
