"""docker-py, the Python client of Docker's API."""

from __future__ import annotations

import gc
import io
import tarfile
from collections.abc import Iterator

import pytest

from tests.system.docker_cli.conftest import IMAGE, EngineProcess

docker = pytest.importorskip("docker")

# docker-py leaves the sockets of its streams to the collector.
pytestmark = [pytest.mark.root, pytest.mark.docker_cli, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def client(docker_engine: EngineProcess) -> Iterator[docker.DockerClient]:
    opened = docker.DockerClient(base_url=f"unix://{docker_engine.socket}", timeout=30)
    yield opened
    opened.close()


@pytest.fixture
def sleeper(client: docker.DockerClient) -> Iterator[docker.models.containers.Container]:
    container = client.containers.run(IMAGE, ["sleep", "1000"], detach=True, network_mode="none")
    yield container
    container.remove(force=True)


def test_the_engine_answers(client: docker.DockerClient) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["OSType"] == "linux"
    assert "Images" in client.df()


def test_run(client: docker.DockerClient) -> None:
    out = client.containers.run(
        IMAGE,
        ["sh", "-c", "echo $A"],
        environment={"A": "b"},
        remove=True,
        network_mode="none",
        mem_limit="32m",
    )
    assert out == b"b\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run(IMAGE, ["sh", "-c", "exit 5"], remove=True, network_mode="none")
    assert failed.value.exit_status == 5
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("no-such-image")


def test_lifecycle(client: docker.DockerClient, sleeper: docker.models.containers.Container) -> None:
    assert sleeper.id in [container.id for container in client.containers.list()]
    sleeper.pause()
    sleeper.unpause()
    assert sleeper.top()["Titles"]
    assert sleeper.stats(stream=False)["pids_stats"]["current"] == 1
    sleeper.rename("renamed-by-docker-py")
    sleeper.kill()
    assert sleeper.wait(timeout=10)["StatusCode"] == 137
    sleeper.start()
    sleeper.reload()
    assert sleeper.status == "running"
    sleeper.restart(timeout=0)
    sleeper.stop(timeout=0)


def test_exec(sleeper: docker.models.containers.Container) -> None:
    code, output = sleeper.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
    assert (code, output) == (3, (b"out\n", b"err\n"))
    assert sleeper.exec_run("id -u", user="user").output == b"1000\n"


def test_an_exec_s_code_is_there_when_its_output_has_ended(
    sleeper: docker.models.containers.Container,
) -> None:
    codes = [sleeper.exec_run(["sh", "-c", f"exit {number}"]).exit_code for number in range(30)]
    assert codes == list(range(30))


def test_logs_and_attach(client: docker.DockerClient) -> None:
    container = client.containers.create(IMAGE, ["sh", "-c", "echo one; echo two"], network_mode="none")
    stream = container.attach(stream=True, logs=True)
    container.start()
    assert b"".join(stream) == b"one\ntwo\n"
    assert container.logs(tail=1) == b"two\n"
    assert list(container.logs(stream=True, follow=True))
    container.remove()


def test_archive(sleeper: docker.models.containers.Container) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("f")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"data"))
    assert sleeper.put_archive("/tmp", buffer.getvalue())
    stream, stat = sleeper.get_archive("/tmp/f")
    assert stat["size"] == 4 and stat["name"] == "f"
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        assert tar.extractfile("f").read() == b"data"  # type: ignore[union-attr]
    assert {"Path": "/tmp/f", "Kind": 1} in sleeper.diff()


def test_images(client: docker.DockerClient) -> None:
    image = client.images.get(IMAGE)
    assert image.tag("docker-py", "x")
    saved = b"".join(image.save(named=True))
    client.images.remove("docker-py:x")
    assert client.images.load(saved)[0].id == image.id
    assert image.history()
    assert [found.id for found in client.images.list(name="busybox")] == [image.id]


def test_volumes_and_events(client: docker.DockerClient) -> None:
    volume = client.volumes.create("docker-py-volume", labels={"a": "b"})
    assert volume.id in [found.id for found in client.volumes.list()]
    volume.remove()
    events = client.events(since=1, until=4102444800, filters={"volume": "docker-py-volume"}, decode=True)
    assert next(events)["Action"] == "create"
    events.close()
