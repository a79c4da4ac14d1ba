"""HTTPS: what is spoken, certificates that are renewed under traffic, and client certificates."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from tests.docker_daemon import docker_daemon
from tests.registry_certificates import Authority, TlsServer
from tests.registry_server import Client, make_image


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TlsServer]:
    server = TlsServer(tmp_path, workers=2)
    server.start()
    yield server
    server.close()


def until(true: object, what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_push_and_pull(server: TlsServer) -> None:
    client = server.tls_client()
    image = make_image(layers=2, size=6 << 20)
    assert client.push_image("app", "latest", image) == image.digest
    assert client.get("/v2/app/manifests/latest").body == image.payload
    for blob in image.blobs:
        assert client.push_blob("other", blob)
    location = client.begin("app")
    assert location.startswith(f"https://127.0.0.1:{server.port}/")
    assert client.request("PATCH", location, iter([b"abc"])).status == 202


def test_greeting_says_https(server: TlsServer) -> None:
    assert f"The registry is at https://127.0.0.1:{server.port}" in server.log.read_text()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(server: TlsServer, version: ssl.TLSVersion) -> None:
    context = server.authority.trust()
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", server.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.version() == version.name.replace("v1_", "v1.")


def test_older_versions_are_refused(server: TlsServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", server.port), 10) as plain, pytest.raises(OSError):
        context.wrap_socket(plain)


def test_plain_http_is_not_answered(server: TlsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as plain:
        plain.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert not plain.recv(1000).startswith(b"HTTP/")
        except ConnectionResetError:
            pass


def test_a_renewed_certificate_is_taken_without_losing_a_request(server: TlsServer) -> None:
    image = make_image(size=100_000)
    old = server.tls_client()
    old.push_image("app", "latest", image)
    stop = threading.Event()
    failures: list[str] = []
    pulled = [0]

    def pull() -> None:
        while not stop.is_set():
            client = Client(server.url)
            client._connection = server.tls_client()._connection
            try:
                for _ in range(3):
                    answer = client.get("/v2/app/manifests/latest")
                    if answer.body != image.payload:
                        failures.append(f"{answer.status}")
                    pulled[0] += 1
            except OSError as error:
                failures.append(repr(error))
            finally:
                client.close()

    threads = [threading.Thread(target=pull) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for name in ("registry two", "registry three"):
            server.authority.issue(name, "server")
            until(lambda name=name: server.certificate_name() == name, f"{name} is not taken")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert pulled[0] > 0
    # The connection from before is still the same one.
    assert old._connection.sock is not None
    before = old._connection.sock
    assert old.get("/v2/").status == 200
    assert old._connection.sock is before


def test_a_broken_pair_keeps_the_old_one_and_is_complained_about_once(server: TlsServer) -> None:
    key = Path(server.settings["tls"]["key"])
    good = key.read_bytes()
    key.write_bytes(Authority(server.directory / "other").issue("other", "x")[1].read_bytes())

    def complaints() -> int:
        return server.log.read_text().count("the certificate in use is kept")

    until(complaints, "nothing is said")
    time.sleep(1)
    assert complaints() == 1
    assert "the key is another certificate's" in server.log.read_text()
    assert server.certificate_name() == "registry one"
    key.write_bytes(b"")
    until(lambda: complaints() == 2, "the next mistake is another one")
    assert server.certificate_name() == "registry one"
    key.unlink()
    until(lambda: complaints() == 3, "a key that is gone is not noticed")
    key.write_bytes(good)
    server.authority.issue("registry two", "server")
    until(lambda: server.certificate_name() == "registry two", "the right pair is not taken")


def test_sighup_looks_at_once(tmp_path: Path) -> None:
    server = TlsServer(tmp_path, {"watch-seconds": 3600}, workers=2)
    server.start()
    try:
        server.authority.issue("registry two", "server")
        time.sleep(0.5)
        assert server.certificate_name() == "registry one"
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGHUP)
        until(lambda: server.certificate_name() == "registry two", "SIGHUP does nothing")
        assert server.stop() == 0
    finally:
        server.close()


def test_clients_have_to_show_certificates(tmp_path: Path) -> None:
    clients = Authority(tmp_path / "clients", "Clients CA")
    server = TlsServer(tmp_path, {"client-ca": str(clients.path)}, workers=1)
    server.start()
    try:
        alice = clients.issue("alice", "alice", client=True)
        client = server.tls_client(alice)
        client.push_image("app", "latest", make_image())
        log = (Path(server.settings["root"]) / "audit" / "audit.log").read_text()
        assert '"who": "alice"' in log
        stranger = Authority(tmp_path / "strangers").issue("alice", "mallory", client=True)
        for pair in (None, stranger):
            with pytest.raises(OSError):
                server.tls_client(pair).get("/v2/")
        server.authority.issue("a server's", "misused")
        with pytest.raises(OSError):
            server.tls_client(clients.issue("alice", "wrong-purpose")).get("/v2/")
    finally:
        server.close()


def test_certificates_may_be_optional(tmp_path: Path) -> None:
    clients = Authority(tmp_path / "clients", "Clients CA")
    server = TlsServer(
        tmp_path, {"client-ca": str(clients.path), "client-certificate": "optional"}, workers=1
    )
    server.start()
    try:
        assert server.tls_client().get("/v2/").status == 200
        assert server.tls_client(clients.issue("bob", "bob", client=True)).get("/v2/").status == 200
        with pytest.raises(OSError):
            server.tls_client(Authority(tmp_path / "others").issue("bob", "b", client=True)).get("/v2/")
    finally:
        server.close()


def test_a_certificates_name_is_a_users(tmp_path: Path) -> None:
    """With accounts, what a certificate's owner may do is what the account of that name may do."""
    clients = Authority(tmp_path / "clients", "Clients CA")
    server = TlsServer(
        tmp_path, {"client-ca": str(clients.path), "client-certificate": "optional"}, workers=1
    )
    root = ("--root", str(server.settings["root"]))
    for name, permission in (("admin", ""), ("carol", "team")):
        command = [sys.executable, "-m", "corten", "registry", "user", "add", *root, "--password-stdin"]
        command += ["--admin", name] if not permission else ["--permission", "pull,push:team/**", name]
        done = subprocess.run(command, input="long enough", text=True, capture_output=True, check=False)
        if done.returncode:
            pytest.fail(done.stderr)
    server.start()
    try:
        carol = server.tls_client(clients.issue("carol", "carol", client=True))
        carol.push_image("team/app", "latest", make_image())
        assert carol.request("POST", "/v2/private/blobs/uploads/", b"").status == 403
        nobody = server.tls_client(clients.issue("nobody", "nobody", client=True))
        assert nobody.get("/v2/team/app/manifests/latest").status == 401
        assert server.tls_client().get("/v2/").status == 401
    finally:
        server.close()


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda pair: pair[1].unlink(), "cannot read"),
        (lambda pair: pair[0].write_text("nonsense"), "no certificate and its private key"),
        (lambda pair: pair[1].write_text("nonsense"), "no certificate and its private key"),
    ],
)
def test_mistakes_at_the_start_are_one_sentence(tmp_path: Path, break_it: object, words: str) -> None:
    server = TlsServer(tmp_path)
    break_it((Path(server.settings["tls"]["certificate"]), Path(server.settings["tls"]["key"])))  # type: ignore[operator]
    with pytest.raises(RuntimeError, match=words) as found:
        server.start()
    assert "Traceback" not in str(found.value)


def test_encrypted_keys_are_not_asked_for(tmp_path: Path) -> None:
    server = TlsServer(tmp_path)
    key = server.settings["tls"]["key"]
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", key, "-out", f"{key}.enc", "-passout", "pass:x"], check=True
    )
    os.replace(f"{key}.enc", key)
    with pytest.raises(RuntimeError, match="no certificate and its private key"):
        server.start()


def test_options(tmp_path: Path) -> None:
    server = TlsServer(tmp_path)
    for options, words in (
        (["--tls-cert", "x"], "--tls-key"),
        (["--tls-key", "x"], "--tls-cert"),
        (["--tls-client-ca", "x"], "--tls-cert"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "corten", "registry", "serve", "--root", str(tmp_path / "r"), *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    with subprocess.Popen(
        [sys.executable, "-m", "corten", "registry", "serve", "--root", str(tmp_path / "r")]
        + ["--listen", server.host, "--workers", "1"]
        + ["--tls-cert", server.settings["tls"]["certificate"], "--tls-key", server.settings["tls"]["key"]],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert f"https://{server.host}" in process.stdout.readline()
        assert server.tls_client().get("/v2/").status == 200
        server.close()
        process.terminate()
        assert process.wait(40) == 0


@pytest.fixture
def mutual(tmp_path: Path) -> Iterator[TlsServer]:
    """A registry that nobody reaches without a certificate, with an image in it; what a client needs is in
    certs.d, as Docker lays it out."""
    clients = Authority(tmp_path / "clients", "Clients CA")
    server = TlsServer(tmp_path, {"client-ca": str(clients.path)}, workers=1)
    server.start()
    pair = clients.issue("alice", "client", client=True)
    server.tls_client(pair).push_image("app", "latest", make_image())
    certificates = tmp_path / "certs.d" / server.host
    certificates.mkdir(parents=True)
    shutil.copy(server.authority.path, certificates / "ca.crt")
    shutil.copy(pair[0], certificates / "client.cert")
    shutil.copy(pair[1], certificates / "client.key")
    yield server
    server.close()


def own_address() -> str:
    """One of this machine's that is not of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but those of loopback")
        return str(probe.getsockname()[0])


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words, capture_output=True, check=False, timeout=120, env={**os.environ, **environment}
    )


def test_skopeo_by_certs_d(mutual: TlsServer, tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    name = f"docker://{mutual.host}/app"
    certificates = str(tmp_path / "certs.d" / mutual.host)
    assert command("skopeo", "inspect", "--raw", f"{name}:latest").returncode != 0
    done = command(
        "skopeo",
        "copy",
        *("--src-cert-dir", certificates, "--dest-cert-dir", certificates),
        *(f"{name}:latest", f"{name}:again"),
    )
    assert done.returncode == 0, done.stderr
    assert b"sha256" in command("skopeo", "inspect", "--cert-dir", certificates, f"{name}:again").stdout


def test_corten_by_certs_d(mutual: TlsServer, tmp_path: Path) -> None:
    corten = (sys.executable, "-m", "corten", "copy", f"docker://{mutual.host}/app:latest")
    place = {"CORTEN_ROOT": str(tmp_path / "corten")}
    layout = f"oci:{tmp_path}/layout:latest"
    assert command(*corten, layout, **place, CORTEN_CERTS_DIR=str(tmp_path)).returncode != 0
    place["CORTEN_CERTS_DIR"] = str(tmp_path / "certs.d")
    done = command(*corten, layout, **place)
    assert done.returncode == 0, done.stderr
    back = (*corten[:-1], layout, f"docker://{mutual.host}/app:corten")
    done = command(*back, **place)
    assert done.returncode == 0, done.stderr


@pytest.mark.root
@pytest.mark.docker_cli
def test_docker_by_certs_d(mutual: TlsServer, tmp_path: Path, short_tmp: Path) -> None:
    """Docker's own daemon looks in /etc/docker/certs.d only, and not for addresses of loopback."""
    address = own_address()
    mutual.stop()
    mutual.authority.issue("registry", "server", address=address)
    mutual.settings["listen"] = [f"{address}:{mutual.port}"]
    mutual.start()
    host = f"{address}:{mutual.port}"
    where = Path("/etc/docker/certs.d") / host
    made = [path for path in (where, *list(where.parents)[:2]) if not path.exists()]
    shutil.copytree(tmp_path / "certs.d" / mutual.host, where)
    try:
        with docker_daemon(short_tmp) as daemon:
            docker = ("docker", "-H", daemon)
            (short_tmp / "rootfs.tar").write_bytes(b"\0" * 10240)
            name = f"{host}/app:docker"
            for step in (
                ("import", str(short_tmp / "rootfs.tar"), name),
                ("push", name),
                ("rmi", name),
                ("pull", name),
            ):
                done = command(*docker, *step)
                assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(where)
        for path in made[1:]:
            path.rmdir()
