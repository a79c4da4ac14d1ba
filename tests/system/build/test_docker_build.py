"""The classic builder of Docker's API: the real docker commands with DOCKER_BUILDKIT=0, and docker-py."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.build.conftest import processes, until, write_context
from tests.system.docker_cli.conftest import Docker, EngineProcess, Result
from tests.system.registry.conftest import PASSWORD, USER, RegistryServer, private

__all__ = ("private",)

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]

DOCKERFILE = """\
FROM busybox
ARG WHO=nobody
COPY a.txt /a.txt
RUN cat /a.txt; echo "for $WHO" > /b.txt
LABEL built=yes
CMD ["cat", "/b.txt"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    files = {"Dockerfile": DOCKERFILE, "a.txt": "hello\n", ".dockerignore": "ignored\n", "ignored": "x\n"}
    return write_context(tmp_path / "context", files)


def build(docker: Docker, *arguments: str, code: int = 0, input: bytes | None = None) -> Result:
    """`docker build` with the classic builder."""
    done = subprocess.run(
        docker.argv("build", *arguments),
        env={**docker.environment, "DOCKER_BUILDKIT": "0"},
        input=b"" if input is None else input,
        capture_output=True,
        timeout=docker.timeout,
    )
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert result.code == code, result
    return result


def test_a_build_and_its_lines(docker: Docker, context: Path) -> None:
    tag = f"{docker.name()}:1"
    first = build(docker, "-t", tag, "--build-arg", "WHO=me", "--no-cache", str(context)).lines
    steps = [line.partition(" : ")[2] for line in first if line.startswith("Step ")]
    assert steps == DOCKERFILE.splitlines()
    assert "hello" in first
    assert first[-2].startswith("Successfully built ") and first[-1] == f"Successfully tagged {tag}"
    identity = first[-2].split()[-1]
    assert docker("inspect", "--format", "{{.Id}} {{json .Config.Labels}}", tag).out.startswith(
        f"sha256:{identity}"
    )
    assert docker("run", "--rm", "--network", "none", tag).out == "for me\n"
    again = build(docker, "-t", tag, "--build-arg", "WHO=me", str(context)).lines
    assert again.count(" ---> Using cache") >= 4 and "hello" not in again
    assert again[-2] == first[-2]


def test_an_image_is_a_cache(docker: Docker, context: Path) -> None:
    tag = docker.name()
    (context / "Dockerfile").write_text(DOCKERFILE.replace("nobody", tag))
    first = build(docker, "-t", tag, str(context)).lines
    docker("builder", "prune", "--all", "--force")
    again = build(docker, "--cache-from", tag, "--cache-from", f"{tag}-not-there", str(context)).lines
    assert "hello" not in again and again.count(" ---> Using cache") >= 4
    assert again[-1] == first[-2]
    # It is a cache for those alone who name it.
    docker("builder", "prune", "--all", "--force")
    assert "hello" in build(docker, str(context)).lines


def test_quiet_and_the_image_id(docker: Docker, context: Path, tmp_path: Path) -> None:
    iidfile = tmp_path / "iid"
    done = build(docker, "-q", "--iidfile", str(iidfile), str(context))
    assert done.out.strip() == iidfile.read_text().strip() and done.out.startswith("sha256:")


def test_a_step_that_fails(docker: Docker, tmp_path: Path) -> None:
    context = write_context(
        tmp_path, {"Dockerfile": "FROM busybox\nRUN echo last words; exit 3\nRUN never\n"}
    )
    failed = build(docker, str(context), code=3)
    assert "last words" in failed.out and "never" not in failed.out
    assert "The command '/bin/sh -c echo last words; exit 3' returned a non-zero code: 3" in failed.err


def test_a_bad_dockerfile(docker: Docker, tmp_path: Path) -> None:
    context = write_context(tmp_path, {"Dockerfile": "FROM busybox\nRUNN x\n"})
    failed = build(docker, str(context), code=1)
    assert "unknown instruction: RUNN" in failed.err
    assert "Step " not in failed.out


def test_contexts(docker: Docker, context: Path) -> None:
    tag = docker.name()
    build(docker, "-t", tag, "-", input=b"FROM busybox\nRUN echo stdin > /x\n")
    assert docker("run", "--rm", "--network", "none", tag, "cat", "/x").out == "stdin\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        tar.add(context, ".")
    build(docker, "-t", tag, "-", input=buffer.getvalue())
    assert docker("run", "--rm", "--network", "none", tag, "ls", "/a.txt").out == "/a.txt\n"
    other = context.parent / "Elsewhere"
    other.write_text("FROM busybox\nCOPY . /all/\n")
    build(docker, "-t", tag, "-f", str(other), str(context))
    shown = docker("run", "--rm", "--network", "none", tag, "ls", "-A", "/all").lines
    assert "a.txt" in shown and "ignored" not in shown


def test_targets_and_labels(docker: Docker, tmp_path: Path) -> None:
    dockerfile = "FROM busybox AS one\nRUN echo one > /x\nFROM one AS two\nRUN echo two > /x\n"
    context = write_context(tmp_path, {"Dockerfile": dockerfile})
    tag = docker.name()
    lines = build(docker, "-t", tag, "--target", "one", "--label", "a=b", str(context)).lines
    assert docker("run", "--rm", "--network", "none", tag, "cat", "/x").out == "one\n"
    assert json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", tag).out) == {"a": "b"}
    assert not any("two" in line for line in lines)


def test_an_interrupted_build_leaves_nothing(docker: Docker, tmp_path: Path) -> None:
    seconds = str(2_000_000 + os.getpid())
    context = write_context(tmp_path, {"Dockerfile": f"FROM busybox\nRUN sleep {seconds}\n"})
    process = subprocess.Popen(
        docker.argv("build", str(context)),
        env={**docker.environment, "DOCKER_BUILDKIT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        until(lambda: processes(f"sleep\0{seconds}"))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
        until(lambda: not processes(f"sleep\0{seconds}"))
    finally:
        process.kill()
        process.wait()


def test_buildkit_is_refused_with_advice(docker_engine: EngineProcess) -> None:
    import http.client
    import socket

    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(docker_engine.socket))
    connection.request("POST", "/v1.43/build?version=2", b"")
    answer = connection.getresponse()
    assert answer.status == 501 and "DOCKER_BUILDKIT=0" in json.loads(answer.read())["message"]
    connection.close()


def test_the_cache_of_builds(docker: Docker, context: Path) -> None:
    build(docker, str(context))
    row = next(line for line in docker("system", "df").lines if line.startswith("Build Cache"))
    assert int(row.split()[2]) > 0
    assert "Total" in docker("builder", "prune", "-a", "-f").out
    row = next(line for line in docker("system", "df").lines if line.startswith("Build Cache"))
    assert int(row.split()[2]) == 0


def test_a_base_behind_a_password(docker: Docker, private: RegistryServer, tmp_path: Path) -> None:
    """The client sends what it knows of registries along (X-Registry-Config)."""
    base = f"{private.host}/{docker.name()}"
    docker("login", "-u", USER, "--password-stdin", private.host, input=PASSWORD.encode())
    docker("tag", "busybox", base)
    docker("push", base)
    docker("rmi", base)
    context = write_context(tmp_path / "c", {"Dockerfile": f"FROM {base}\nRUN echo built > /x\n"})
    docker("logout", private.host)
    build(docker, str(context), code=1)
    docker("login", "-u", USER, "--password-stdin", private.host, input=PASSWORD.encode())
    tag = docker.name()
    build(docker, "-t", tag, str(context))
    assert docker("run", "--rm", "--network", "none", tag, "cat", "/x").out == "built\n"


@pytest.fixture
def client(docker_engine: EngineProcess) -> Iterator[Any]:
    docker_py = pytest.importorskip("docker")
    made = docker_py.DockerClient(base_url=f"unix://{docker_engine.socket}", timeout=60)
    yield made
    made.close()


def test_docker_py(client: Any, context: Path) -> None:
    image, lines = client.images.build(
        path=str(context), tag="by-docker-py:1", buildargs={"WHO": "python"}, labels={"l": "m"}, rm=True
    )
    text = "".join(line.get("stream", "") for line in lines)
    assert "Step 1/6 : FROM busybox" in text and f"Successfully built {image.short_id[7:]}" in text
    assert image.labels == {"built": "yes", "l": "m"} and image.tags == ["by-docker-py:1"]
    assert client.containers.run(image, remove=True, network_mode="none") == b"for python\n"
    client.images.remove("by-docker-py:1", force=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_docker_py_sees_why_a_build_failed(client: Any) -> None:
    import docker.errors

    with pytest.raises(docker.errors.BuildError, match="returned a non-zero code: 5") as caught:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo why; exit 5\n"))
    assert any("why" in line.get("stream", "") for line in caught.value.build_log)
    del caught
    gc.collect()  # docker-py leaves the answer of a failed build to the collector
    with pytest.raises(docker.errors.APIError, match="unknown instruction"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUNN\n"))
