"""Real Dockerfiles of well-known shape build from a Debian base that was made here, as root and rootless, and
their images run. CORTEN_TEST_HEAVY=1 builds all of them, and compares them with docker's and buildah's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
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
    steps = [
        line for line in again.splitlines() if " RUN " in line or " COPY " in line or " WORKDIR " in line
    ]
    assert again.count("CACHED") >= len(steps) > 0
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
