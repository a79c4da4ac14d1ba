"""A full disk, a store that does not answer, a database that goes away: clear statuses, and nothing
acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_pushers import pushing, verify
from tests.registry_server import Client, ServerProcess, digest_of, make_image
from tests.registry_stores import PostgresServer, S3Server


@pytest.fixture
def small_disk(short_tmp: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "tmpfs", str(short_tmp)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield short_tmp
    subprocess.run(["umount", "-l", str(short_tmp)], check=True)


@pytest.mark.root
def test_full_disk(small_disk: Path, tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path, root=str(small_disk), collection={"interval-seconds": 0.2, "grace-seconds": 0}
    ).start()
    try:
        client = server.client()
        image = make_image(size=500_000)
        client.push_image("app", "latest", image)
        data = os.urandom(9 << 20)
        location = client.begin("app")
        answer = client.finish(location, digest_of(data), data)
        assert answer.status == 507, answer.body
        assert answer.codes == ["UNAVAILABLE"]
        assert client.get("/v2/app/manifests/latest").body == image.payload
        # The client gives up, and there is room again.
        assert client.delete(location).status == 204
        client.push_image("app", "next", make_image(size=500_000))
        assert server.run("check", read_blobs=True).returncode == 0
    finally:
        server.close()


def test_database_goes_away_and_comes_back(postgres: PostgresServer, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, database=postgres.new_database()).start()
    try:
        client = server.client()
        image = make_image()
        client.push_image("app", "latest", image)
        postgres.stop()
        try:
            for method, path in (
                ("GET", "/v2/app/manifests/latest"),
                ("POST", "/v2/app/blobs/uploads/"),
                ("DELETE", "/v2/app/manifests/latest"),
            ):
                answer = client.request(method, path, b"" if method == "POST" else None)
                assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"])
                assert answer.header("Retry-After")
            assert client.get("/healthz").status == 200
            assert client.get("/readyz").status == 503
        finally:
            postgres.start()
        wait_until_ready(client)
        assert client.get("/v2/app/manifests/latest").body == image.payload
        client.push_image("app", "next", make_image())
    finally:
        server.close()


def test_store_that_is_slow_and_then_gone(s3: S3Server, tmp_path: Path) -> None:
    """Manifests need no store; a push waits, and is told when it is in vain."""
    server = ServerProcess(tmp_path, storage=s3.url(), storage_options=s3.options, redirect=False).start()
    try:
        client = server.client()
        image = make_image(size=100_000)
        client.push_image("app", "latest", image)
        s3.pause()
        try:
            assert client.get("/v2/app/manifests/latest").body == image.payload
            location = client.begin("app")
            slow = server.client()
            path = location.removeprefix(server.url)
            import threading

            found: list[int] = []
            data = os.urandom(100_000)
            thread = threading.Thread(
                target=lambda: found.append(slow.finish(path, digest_of(data), data).status), daemon=True
            )
            thread.start()
            thread.join(1)
            assert thread.is_alive()
        finally:
            s3.resume()
        thread.join(60)
        assert found == [201]
        assert client.get(f"/v2/app/blobs/{digest_of(data)}").body == data
    finally:
        server.close()


def test_store_that_answers_with_errors(s3: S3Server, tmp_path: Path) -> None:
    """Wrong credentials are as good as any error: 503, and the push can be repeated once they are right."""
    settings = {"storage": s3.url(), "redirect": False}
    wrong = {**s3.options, "secret_access_key": "wrong"}
    server = ServerProcess(tmp_path, storage_options=wrong, **settings).start()
    try:
        client = server.client()
        answer = client.finish(client.begin("app"), digest_of(b"x"), b"x")
        assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"])
        assert client.get("/readyz").status == 503
        server.kill()
        server.settings["storage-options"] = s3.options
        server.start()
        client.close()
        assert client.get(f"/v2/app/blobs/{digest_of(b'x')}").status == 404
        client.push_blob("app", b"x")
    finally:
        server.close()


def test_bytes_that_were_lost_are_found_by_check(tmp_path: Path) -> None:
    """Somebody deletes and spoils files: check tells of each; pushing the image again mends what is
    missing."""
    server = ServerProcess(tmp_path).start()
    try:
        client = server.client()
        image = make_image(layers=2, size=100_000)
        client.push_image("app", "latest", image)
        root = Path(server.settings["root"])
        lost, spoilt = (next(root.glob(f"blobs/sha256/*/{digest_of(layer)[7:]}.*")) for layer in image.layers)
        lost.unlink()
        data = bytearray(spoilt.read_bytes())
        data[5] ^= 1
        spoilt.write_bytes(data)
        (root / "blobs/sha256/00").mkdir(exist_ok=True)
        (root / "blobs/sha256/00/stranger").write_bytes(b"unknown")
        assert client.get(f"/v2/app/blobs/{digest_of(image.layers[0])}").status == 404
        found = server.run("check", read_blobs=True, grace=0)
        assert found.returncode == 1
        assert "its bytes are not in the storage" in found.stdout
        assert "its bytes have another digest" in found.stdout
        assert "nothing knows of these bytes" in found.stdout
        found = server.run("check", repair=True, read_blobs=True, grace=0)
        assert not (root / "blobs/sha256/00/stranger").exists()
        # What was lost or spoilt is taken anew.
        for layer in image.layers:
            client.push_blob("app", layer)
        found = server.run("check", read_blobs=True, grace=0)
        assert found.returncode == 0, found.stdout
        for layer in image.layers:
            assert client.get(f"/v2/app/blobs/{digest_of(layer)}").body == layer
    finally:
        server.close()


def wait_until_ready(client: Client) -> None:
    deadline = time.monotonic() + 30
    while client.get("/readyz").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def settle(server: ServerProcess) -> None:
    """Uploads that broke off have expired by now, or do so soon; then there is nothing to find."""
    deadline = time.monotonic() + 60
    while (found := server.run("check", read_blobs=True, grace=0)).returncode:
        assert time.monotonic() < deadline, found.stdout + found.stderr
        time.sleep(0.5)


COLLECTION = {"interval-seconds": 0.2, "grace-seconds": 2, "upload-hours": 0.001}


@pytest.mark.parametrize("what", ["database", "store"])
def test_restarted_under_load(postgres: PostgresServer, s3: S3Server, tmp_path: Path, what: str) -> None:
    """PostgreSQL, or the object store, crash and come back while four clients push and delete: whatever was
    acknowledged is there, and nothing is left behind."""
    server = ServerProcess(
        tmp_path,
        workers=2,
        database=postgres.new_database(),
        storage=s3.url(),
        storage_options=s3.options,
        redirect=False,
        collection=COLLECTION,
    ).start()
    broken = postgres if what == "database" else s3
    try:
        with pushing(server.url, 4) as pushers:
            for _ in range(3):
                time.sleep(1)
                broken.stop()
                time.sleep(0.5)
                broken.start()
            time.sleep(1)
        client = server.client()
        wait_until_ready(client)
        assert sum(len(pusher.known) for pusher in pushers) > 0
        for pusher in pushers:
            verify(client, pusher)
        settle(server)
        assert "Traceback" not in server.log.read_text()
    finally:
        server.close()


@pytest.mark.root
def test_disk_that_is_full_to_the_last_byte(small_disk: Path, tmp_path: Path) -> None:
    """Not even the database can be written: pulls go on, changes are refused, and work when there is room."""
    server = ServerProcess(
        tmp_path, root=str(small_disk), audit={"enabled": False}, collection=COLLECTION
    ).start()
    try:
        client = server.client()
        image, other = make_image(size=100_000), make_image()
        client.push_image("app", "latest", image)
        for blob in other.blobs:
            client.push_blob("app", blob)
        with open(small_disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass
        statuses = set()
        for number in range(200):
            answer = client.push_manifest("app", f"t{number}", other.payload)
            statuses.add(answer.status)
            if answer.status != 201:
                assert answer.codes == ["UNAVAILABLE"], answer.body
                assert "full" in answer.json()["errors"][0]["message"]
                break
        assert statuses & {503, 507}
        answer = client.request("POST", "/v2/app/blobs/uploads/", b"")
        assert answer.status in (202, 503, 507)
        assert client.get("/v2/app/manifests/latest").body == image.payload
        assert client.get(f"/v2/app/blobs/{digest_of(image.layers[0])}").body == image.layers[0]
        assert client.get("/readyz").status == 503
        (small_disk / "ballast").unlink()
        wait_until_ready(client)
        client.push_image("app", "after", make_image(size=100_000))
        settle(server)
        assert "Traceback" not in server.log.read_text()
    finally:
        server.close()


def test_upload_while_the_store_goes(s3: S3Server, tmp_path: Path) -> None:
    """The bytes of one request are lost with it, and only these: the client goes on where it is told."""
    server = ServerProcess(tmp_path, storage=s3.url(), storage_options=s3.options, redirect=False).start()
    try:
        client = server.client()
        first, second = os.urandom(100_000), os.urandom(200_000)
        location = client.begin("app")
        assert client.request("PATCH", location, first).status == 202
        s3.stop()
        try:
            answer = client.request("PATCH", location, second)
            assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"])
            assert answer.header("Retry-After")
            client.close()
        finally:
            s3.start()
        offset = int(client.get(location).header("Range").partition("-")[2]) + 1
        assert offset == len(first)
        assert client.finish(location, digest_of(first + second), second).status == 201
        assert client.get(f"/v2/app/blobs/{digest_of(first + second)}").body == first + second
    finally:
        server.close()
