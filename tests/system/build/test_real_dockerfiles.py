"""Real Dockerfiles of well-known shape build from a Debian base that was made here, as root and rootless, and
their images run. CORTEN_TEST_HEAVY=1 builds all of them, and compares them with docker's and buildah's."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.build.image_trees import read_image
from tests.system.build.peer_builders import Buildah, Docker
from tests.system.build.real_dockerfiles import PYTHON, REAL, RealDockerfile
from tests.system.cli.conftest import Corten
from tests.system.conftest import clean, leftovers
from tests.system.rootless.conftest import UID, OrdinaryUser

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="needs mmdebstrap"),
]

Command = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = os.environ.get("CORTEN_TEST_HEAVY") == "1"


@pytest.fixture(scope="module")
def debian() -> Iterator[Corten]:
    """The corten command on an engine that has made a Debian base."""
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    corten = Corten(place)
    try:
        corten("image", "bootstrap", "-q", "debian", timeout=300)
        yield corten
        corten("engine", "stop")
        left = leftovers(corten.paths)
        assert not left, left
    finally:
        clean(corten.paths)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def debian_archive(debian: Corten) -> Path:
    """The same base for others."""
    archive = debian.paths.root.parent / "debian.tar"
    debian("save", "-o", str(archive), "debian:latest")
    archive.chmod(0o644)
    archive.parent.chmod(0o755)
    return archive


@pytest.fixture(scope="module")
def ordinary(debian_archive: Path) -> Iterator[OrdinaryUser]:
    """An ordinary user with the base."""
    if not shutil.which("newuidmap"):
        pytest.skip("needs uidmap")
    place, scratch = (Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp")) for _ in range(2))
    corten = Corten(place)
    user = OrdinaryUser(corten.paths, scratch)
    try:
        user.corten("load", "-q", "-i", str(debian_archive))
        yield user
    finally:
        user.close()
        left = leftovers(corten.paths)
        clean(corten.paths)
        for directory in (place, scratch):
            shutil.rmtree(directory, ignore_errors=True)
        assert not left, left


@pytest.fixture(scope="module")
def docker(debian_archive: Path) -> Iterator[Docker]:
    """docker's classic builder with the base."""
    place = debian_archive.parent / "docker"
    place.mkdir()
    made = Docker(place, debian_archive)
    yield made
    made.close()


@pytest.fixture(scope="module")
def buildah(debian_archive: Path) -> Buildah:
    """buildah with the base."""
    place = debian_archive.parent / "buildah"
    place.mkdir()
    return Buildah(place, debian_archive)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In place of the suite's, which asks for every docker command: this one is about builders."""


def cases(*light: str) -> list[object]:
    """All of them; the heavy ones are skipped where nobody asks for them."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not HEAVY and name not in light, reason="heavy: CORTEN_TEST_HEAVY=1 runs it"
            ),
        )
        for name in REAL
    ]


def build_and_run(corten: Command, real: RealDockerfile, context: Path, name: str) -> None:
    """Builds it, sees that its image runs, and that the same build again does nothing."""
    corten("build", "--network", "host", "-t", name, str(context), timeout=300)
    config = json.loads(corten("image", "inspect", "--format", "{{json .Config}}", name).stdout)
    assert {key: config.get(key) for key in real.config} == real.config
    if not real.ask:
        assert corten("run", "--rm", "--network", "none", name).stdout == real.answer
    else:
        corten("run", "-d", "--name", name, "--network", "none", name)
        try:
            deadline = time.monotonic() + 60
            while (done := corten("exec", name, *real.ask, check=None)).stdout != real.answer:
                assert time.monotonic() < deadline, (done, corten("logs", name))
                time.sleep(0.1)
            # Not every program heeds SIGTERM as process 1.
            corten("stop", "-t", "5" if name == "postgresql" else "1", name)
        finally:
            corten("rm", "-fv", name)
    first = corten("image", "inspect", "--format", "{{.Id}}", name).stdout
    again = corten("build", "--progress=plain", "--network", "host", "-t", name, str(context)).stderr
    # A step's line comes again where others have come between.
    lines = [line.split() for line in again.splitlines() if line.startswith("#")]
    steps = {words[0] for words in lines if {"RUN", "COPY", "WORKDIR"} & {*words[:5]}}
    cached = {words[0] for words in lines if words[1:] == ["CACHED"]}
    assert steps and steps <= cached, again
    assert corten("image", "inspect", "--format", "{{.Id}}", name).stdout == first


@pytest.mark.parametrize("name", cases("python", "c"))
def test_as_root(debian: Corten, tmp_path: Path, name: str) -> None:
    build_and_run(debian, REAL[name], REAL[name].write(tmp_path / "context"), name)


@pytest.mark.parametrize("name", cases("python"))
def test_as_an_ordinary_user(ordinary: OrdinaryUser, name: str) -> None:
    context = REAL[name].write(ordinary.home / name)
    for path in (context, *context.rglob("*")):
        os.chown(path, UID, UID)

    def corten(*arguments: str, check: int | None = 0, **_: object) -> subprocess.CompletedProcess[str]:
        return ordinary.corten(*arguments, check=check == 0)

    build_and_run(corten, REAL[name], context, name)


BYTECODE = """\
FROM python
WORKDIR /app
COPY own.py ./
RUN python3 -m compileall -q . && python3 -c 'import own'
RUN python3 -m venv --without-pip /venv && /venv/bin/python -c 'import xml.dom.minidom'
RUN python3 -c "import own, os; assert os.stat(own.__cached__).st_mtime == os.stat('own.py').st_mtime"
"""


def test_bytecode_is_the_same_on_two_machines(debian: Corten, tmp_path: Path) -> None:
    python = write_context(tmp_path / "python", {"Dockerfile": PYTHON.text.partition("ENV PIP")[0]})
    debian("build", "-q", "--network", "host", "-t", "python", str(python), timeout=300)
    debian("save", "-o", str(tmp_path / "python.tar"), "python")
    context = write_context(tmp_path / "context", {"Dockerfile": BYTECODE, "own.py": "VALUE = 1\n"})
    first = debian("build", "-q", "--network", "none", "-t", "bytecode", str(context)).stdout
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    other = Corten(place)
    try:
        other("load", "-q", "-i", str(tmp_path / "python.tar"))
        os.utime(context / "own.py", (1_000_000_000, 1_000_000_000))
        assert other("build", "-q", "--network", "none", "-t", "bytecode", str(context)).stdout == first
        # Where a source's time is not what its bytecode says, Python compiles again (and -v tells so).
        said = other(
            "run", "--rm", "--network", "none", "bytecode", "python3", "-v", "-c", "import own"
        ).stderr
        assert "code object from '/app/__pycache__/own" in said
        other("engine", "stop")
        assert not (left := leftovers(other.paths)), left
    finally:
        clean(other.paths)
        shutil.rmtree(place, ignore_errors=True)


_LEFT_BY_BUILDAH = ("dev", "proc", "run", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf")
# A certificate that a package makes for the host's name, by its hash.
_OF_THE_HOST = re.compile("etc/ssl/certs/[0-9a-f]{8}[.]0")
# What the time or chance is written into: logs of dpkg and apt, ldconfig's cache, the database's cluster.
_OF_THE_MOMENT = re.compile(
    r"var/(log|cache|lib/(apt|dpkg|systemd|postgresql|ucf))/.*|etc/(ssl|postgresql-common)/.*|etc/(shadow|passwd|group|gshadow)-?"
    r"|etc/(machine-id|hostname|hosts|resolv.conf)|.*[.]pyc|run/.*|tmp/.*"
)


@pytest.mark.skipif(not HEAVY, reason="heavy: CORTEN_TEST_HEAVY=1 runs it")
@pytest.mark.parametrize("peer", ["docker", "buildah"])
@pytest.mark.parametrize("name", REAL)
def test_the_same_as_peers(
    request: pytest.FixtureRequest, debian: Corten, tmp_path: Path, name: str, peer: str
) -> None:
    context = REAL[name].write(tmp_path / "context")
    builder: Docker | Buildah = request.getfixturevalue(peer)
    theirs = builder.build(context, tmp_path / "theirs.tar", network="host")
    debian("build", "-q", "--network", "host", "-t", name, str(context), timeout=300)
    debian("save", "-o", str(tmp_path / "ours.tar"), name)
    ours = read_image(tmp_path / "ours.tar")
    assert {key: ours.run.get(key) for key in REAL[name].config} == REAL[name].config
    for key in ("Cmd", "Entrypoint", "Env", "ExposedPorts", "StopSignal", "User", "Volumes", "Healthcheck"):
        if key == "Env":  # buildah has another order
            assert sorted(ours.run[key]) == sorted(theirs.run[key])
        else:
            assert ours.run.get(key) == theirs.run.get(key), key
    found = {}
    for path in sorted({*ours.nodes, *theirs.nodes}):
        mine, other = ours.nodes.get(path), theirs.nodes.get(path)
        if mine and other and _OF_THE_MOMENT.fullmatch(path):
            mine, other = (dataclasses.replace(node, content="", links=()) for node in (mine, other))
        if (peer == "buildah" and path in _LEFT_BY_BUILDAH) or _OF_THE_HOST.fullmatch(path):
            continue
        if mine != other:
            found[path] = (mine, other)
    assert not found, found
