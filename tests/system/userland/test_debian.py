"""Debian's real userland, through the command line: apt, a web server, a database on a volume."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

SERVE = "import http.server; http.server.test(http.server.SimpleHTTPRequestHandler, port=8000)"
FETCH = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/hello').read().decode())"
INSERT = """
import sqlite3
with sqlite3.connect("/db/data.sqlite") as database:
    database.execute("create table if not exists visits (name text)")
    database.execute("insert into visits values ('first')")
"""
COUNT = """
import sqlite3
print(sqlite3.connect("/db/data.sqlite").execute("select count(*) from visits").fetchone()[0])
"""


class Command(Protocol):
    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="module")
def corten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The corten command on an engine of this module's own."""
    place = Path("/tmp") / f"ct-userland-{os.getpid()}"
    place.mkdir()
    environment = {**os.environ, "CORTEN_ROOT": f"{place}/root", "CORTEN_RUN": f"{place}/run"}

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "corten", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
        if check and done.returncode != 0:
            raise AssertionError(
                f"corten {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    try:
        yield run
    finally:
        containers = run("ps", "-aq", check=False).stdout.split()
        if containers:
            run("rm", "-f", "-v", *containers, check=False)
        run("engine", "stop", check=False)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def debian(corten: Command) -> str:
    """A Debian base image, made by mmdebstrap from the distribution's packages."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed")
    corten("image", "bootstrap", "debian")
    return "debian"


@pytest.fixture(scope="module")
def debian_python(corten: Command, debian: str) -> str:
    """Debian with python3, installed by apt in a container and committed."""
    script = "apt-get update -qq && apt-get install -qq -y --no-install-recommends python3"
    corten(
        "run",
        "--name",
        "apt",
        "--network",
        "host",
        "-e",
        "DEBIAN_FRONTEND=noninteractive",
        debian,
        "sh",
        "-c",
        script,
    )
    corten("commit", "apt", "debian-python")
    corten("rm", "apt")
    return "debian-python"


def test_the_base_image_is_debian(corten: Command, debian: str) -> None:
    assert "Debian" in corten("run", "--rm", debian, "cat", "/etc/os-release").stdout


def test_apt_installs_packages_in_a_container(corten: Command, debian_python: str) -> None:
    done = corten(
        "run", "--rm", "--network", "none", debian_python, "dpkg-query", "-W", "-f", "${Status}", "python3"
    )
    assert done.stdout == "install ok installed"


def test_a_web_server_is_reached_from_another_container(corten: Command, debian_python: str) -> None:
    corten(
        "run", "-d", "--name", "web", "--network", "none", "-w", "/srv", debian_python, "python3", "-c", SERVE
    )
    corten("exec", "web", "sh", "-c", "echo 'served from a container' > /srv/hello")
    client = ("run", "--rm", "--network", "container:web", debian_python, "python3", "-c", FETCH)
    deadline = time.monotonic() + 20
    while (done := corten(*client, check=False)).returncode != 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert done.stdout.strip() == "served from a container", done.stderr
    assert '"GET /hello HTTP/1.1" 200' in corten("logs", "web").stderr
    corten("rm", "-f", "web")


def test_a_database_on_a_volume_outlives_its_containers(corten: Command, debian_python: str) -> None:
    for _ in range(2):
        corten("run", "--rm", "--network", "none", "-v", "db:/db", debian_python, "python3", "-c", INSERT)
    done = corten(
        "run", "--rm", "--network", "none", "-v", "db:/db:ro", debian_python, "python3", "-c", COUNT
    )
    assert done.stdout.strip() == "2"
    corten("volume", "rm", "db")


def test_the_installed_image_is_the_base_and_one_layer(
    corten: Command, debian: str, debian_python: str
) -> None:
    base = corten("inspect", "--format", "{{json .RootFS.Layers}}", debian).stdout
    more = corten("inspect", "--format", "{{json .RootFS.Layers}}", debian_python).stdout
    assert more.startswith(base.strip()[:-1])
    assert more.count("sha256:") == base.count("sha256:") + 1
