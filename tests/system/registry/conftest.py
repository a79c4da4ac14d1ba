"""Debian's docker-registry on loopback, corten with an engine of its own, and a real dockerd beside them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.cli.conftest import Corten
from tests.system.conftest import busybox_layer, clean, leftovers
from tests.system.docker_cli.conftest import docker_commands
from tests.unit.image.images import docker_archive, layer_of

USER, PASSWORD = "me", "secret"
# bcrypt of the password; Debian's docker-registry takes no other kind.
_HTPASSWD = f"{USER}:$2b$04$gjkA0L3MYwOi710uHXeEx.FdeW0N0LvBObKdQCMY7MC8aFH68XNPu\n"


def require(*programs: str) -> None:
    """Skips where a peer is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


class Command:
    """A peer's command line; `code` is the exit status that is expected."""

    def __init__(self, *command: str | Path, environment: dict[str, str] | None = None) -> None:
        self.command = [str(word) for word in command]
        self.environment = {**os.environ, **(environment or {})}

    def __call__(self, *words: str | Path, code: int = 0, input: bytes | None = None) -> str:
        """stdout; for a failure that was expected, stderr."""
        done = subprocess.run(
            [*self.command, *map(str, words)],
            env=self.environment,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (done.args, done.returncode, done.stdout, done.stderr)
        return (done.stderr if code else done.stdout).decode()


class RegistryServer:
    """docker-registry, its data in `root`; `port` 0 is a free one."""

    def __init__(
        self, root: Path, *, port: int = 0, password: bool = False, inside: tuple[str, ...] = ()
    ) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.pushed: set[str] = set()
        self.port = port or _free_port()
        self.host = f"127.0.0.1:{self.port}"
        config = (
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        if password:
            (root / "htpasswd").write_text(_HTPASSWD)
            config += f"auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n"
        (root / "config.yml").write_text(config)
        with (root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*inside, "docker-registry", "serve", str(root / "config.yml")], stdout=log, stderr=log
            )
        if not inside:
            self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"docker-registry does not start: {(self.root / 'log').read_text()[-500:]}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks nobody."""
    require("docker-registry")
    running = RegistryServer(tmp_path_factory.mktemp("registry"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that wants a password."""
    require("docker-registry")
    running = RegistryServer(tmp_path_factory.mktemp("private"), password=True)
    yield running
    running.close()


@pytest.fixture(scope="session")
def shared_corten(busybox_archive: Path) -> Iterator[Corten]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
    corten = Corten(place)
    corten.environment["DOCKER_CONFIG"] = str(place / "docker-config")
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        corten.environment.pop(name, None)
    try:
        corten("load", "-i", str(busybox_archive))
        yield corten
        corten("engine", "stop")
        left = leftovers(corten.paths)
        assert not left, left
    finally:
        clean(corten.paths)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def corten(shared_corten: Corten) -> Iterator[Corten]:
    """The command; containers, images (but busybox) and logins of a test are removed."""
    yield shared_corten
    shared_corten.end()
    containers = shared_corten("ps", "-aq").stdout.split()
    if containers:
        shared_corten("rm", "-fv", *containers, check=None)
    names = shared_corten("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    if others := [name for name in names if name != "busybox:latest" and "<none>" not in name]:
        shared_corten("rmi", "-f", *others)
    shutil.rmtree(shared_corten.environment["DOCKER_CONFIG"], ignore_errors=True)


@pytest.fixture(scope="session")
def busybox() -> bytes:
    """The layer of busybox."""
    return busybox_layer()


@pytest.fixture
def pushed(corten: Corten, server: RegistryServer, busybox: bytes, tmp_path: Path) -> Callable[[str], str]:
    """Puts busybox with a layer of its own on top into the registry: a pull has something to fetch."""

    def push(name: str) -> str:
        whole = f"{server.host}/{name}"
        if whole in server.pushed:
            return whole
        server.pushed.add(whole)
        archive = tmp_path / "pushed.tar"
        archive.write_bytes(docker_archive([busybox, layer_of(name.replace("/", "-"))], [whole]))
        corten("copy", "-q", f"docker-archive:{archive}", f"docker://{whole}")
        return whole

    return push


@pytest.fixture(params=docker_commands() or [None], ids=lambda path: str(path).split("/")[2 if path else 0])
def docker(request: pytest.FixtureRequest, corten: Corten, tmp_path: Path) -> Command:
    """Every docker command that is installed, against corten's engine."""
    if request.param is None:
        pytest.skip("no docker command")
    corten("engine", "start")
    environment = {
        "DOCKER_HOST": f"unix://{corten.paths.socket}",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "HOME": str(tmp_path),
    }
    return Command(request.param, environment=environment)


class Dockerd:
    """A real dockerd on a socket of its own, in network and mount namespaces of its own. `server` is a
    registry in there, over the data of the one outside and on the same port."""

    def __init__(self, base: Path, server: RegistryServer) -> None:
        self.server = server
        address = f"unix://{base}/s"
        arguments = ["-H", address, "--data-root", f"{base}/data", "--exec-root", f"{base}/exec"]
        arguments += ["-p", f"{base}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        arguments += ["--shutdown-timeout", "2", "--storage-driver", "vfs"]
        self._log = (base / "log").open("wb")
        self.process = subprocess.Popen(
            [
                "unshare",
                "-n",
                "-m",
                "sh",
                "-c",
                'ip link set lo up && exec dockerd "$@"',
                "dockerd",
                *arguments,
            ],
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self.command = Command("docker", "-H", address, environment={"DOCKER_CONFIG": str(base / "config")})
        deadline = time.monotonic() + 60
        while subprocess.run([*self.command.command, "version"], capture_output=True, check=False).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                pytest.skip(f"dockerd does not start here: {(base / 'log').read_text()[-300:]}")
            time.sleep(0.1)
        enter = ("nsenter", "-n", "-t", str(self.process.pid))
        self._twin = RegistryServer(base / "twin", port=server.port, inside=enter)
        shutil.rmtree(base / "twin/data", ignore_errors=True)
        (base / "twin/data").symlink_to(server.root / "data")

    def close(self) -> None:
        if hasattr(self, "_twin"):
            self._twin.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._log.close()
        _remove_empty("docker")


@pytest.fixture(scope="session")
def dockerd(server: RegistryServer, short_session_tmp: Path) -> Iterator[Command]:
    """The docker command against the real dockerd."""
    require("dockerd", "docker", "containerd", "unshare", "nsenter", "ip")
    daemon = Dockerd(short_session_tmp, server)
    yield daemon.command
    daemon.close()


@pytest.fixture(scope="session")
def short_session_tmp() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ctd-", dir="/tmp"))
    yield path
    subprocess.run(["umount", "-q", "-R", str(path)], check=False, capture_output=True)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def podman(short_session_tmp: Path) -> Command:
    """podman on directories of its own."""
    require("podman")
    base = short_session_tmp / "podman"
    base.mkdir(exist_ok=True)
    (base / "auth.json").write_text("{}")
    where = ("--root", base / "s", "--runroot", base / "r", "--storage-driver", "vfs")
    return Command("podman", *where, environment={"REGISTRY_AUTH_FILE": str(base / "auth.json")})


@pytest.fixture
def skopeo(tmp_path: Path) -> Command:
    require("skopeo")
    (tmp_path / "auth.json").write_text("{}")
    return Command("skopeo", environment={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})


def _remove_empty(name: str) -> None:
    """What dockerd leaves of its cgroups, unless somebody else uses them."""
    for path in sorted(Path("/sys/fs/cgroup").glob(f"*/{name}")):
        try:
            path.rmdir()
        except OSError:
            continue
