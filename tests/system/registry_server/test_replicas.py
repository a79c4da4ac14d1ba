"""Two replicas on one PostgreSQL and one bucket: a push begins at one, goes on at the other, and is pulled
from both."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import Client, ServerProcess, digest_of, make_image
from tests.registry_stores import PostgresServer, S3Server

COLLECTION = {"interval-seconds": 0.2, "grace-seconds": 2}


@pytest.fixture(params=[True, False], ids=["redirect", "through the replica"])
def replicas(
    request: pytest.FixtureRequest, postgres: PostgresServer, s3: S3Server, tmp_path: Path
) -> Iterator[list[ServerProcess]]:
    database, storage = postgres.new_database(), s3.url()
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(
            ServerProcess(
                tmp_path / name,
                database=database,
                storage=storage,
                storage_options=s3.options,
                redirect=request.param,
                collection=COLLECTION,
            ).start()
        )
    yield found
    for server in found:
        server.close()


def pull(client: Client, repository: str, digest: str) -> bytes:
    answer = client.get(f"/v2/{repository}/blobs/{digest}")
    if answer.status == 307:
        with urllib.request.urlopen(answer.header("Location")) as found:
            return bytes(found.read())
    assert answer.status == 200
    return answer.body


@pytest.mark.parametrize("size", [100, 9 << 20])
def test_a_push_across_replicas(replicas: list[ServerProcess], size: int) -> None:
    """POST at one, a chunk at each, PUT at the other; the manifest at one; the pull from both."""
    one, two = (replica.client() for replica in replicas)
    image = make_image(layers=1, size=size)
    one.push_blob("app", image.config)
    (layer,) = image.layers
    third = size // 3
    path = one.begin("app").removeprefix(replicas[0].url)
    for number, client in enumerate((two, one, two)):
        chunk = layer[number * third : (number + 1) * third if number < 2 else None]
        start = number * third
        answer = client.request("PATCH", path, chunk, {"Content-Range": f"{start}-{start + len(chunk) - 1}"})
        assert answer.status == 202
        assert one.get(path).header("Range") == f"0-{start + len(chunk) - 1}"
    assert one.finish(path, digest_of(layer)).status == 201
    assert two.push_manifest("app", "latest", image.payload).status == 201
    for client in (one, two):
        assert client.get("/v2/app/manifests/latest").body == image.payload
        for blob in image.blobs:
            assert pull(client, "app", digest_of(blob)) == blob


def test_ranges(replicas: list[ServerProcess]) -> None:
    client = replicas[1].client()
    data = os.urandom(3 << 20)
    digest = client.push_blob("app", data)
    answer = client.get(f"/v2/app/blobs/{digest}", Range="bytes=100-2000000")
    if answer.status == 307:
        request = urllib.request.Request(answer.header("Location"), headers={"Range": "bytes=100-2000000"})
        with urllib.request.urlopen(request) as found:
            assert found.read() == data[100:2000001]
    else:
        assert (answer.status, answer.body) == (206, data[100:2000001])


def test_the_replica_that_began_an_upload_dies(replicas: list[ServerProcess]) -> None:
    one, two = (replica.client() for replica in replicas)
    path = one.begin("app").removeprefix(replicas[0].url)
    assert one.request("PATCH", path, b"first ", {"Content-Range": "0-5"}).status == 202
    replicas[0].kill()
    assert two.get(path).header("Range") == "0-5"
    assert two.finish(path, digest_of(b"first last"), b"last", Content_Range="6-9").status == 201
    assert pull(two, "app", digest_of(b"first last")) == b"first last"


def test_what_one_deletes_the_other_collects(replicas: list[ServerProcess]) -> None:
    one, two = (replica.client() for replica in replicas)
    image = make_image(size=10_000)
    one.push_image("app", "latest", image)
    assert two.delete(f"/v2/app/manifests/{image.digest}").status == 202
    assert one.get("/v2/app/manifests/latest").status == 404
    deadline = time.monotonic() + 60
    while (
        "0 repositories, 0 tags, 0 manifests, 0 blobs"
        not in (found := replicas[0].run("check", grace=0)).stdout
    ):
        assert time.monotonic() < deadline, found.stdout + found.stderr
        time.sleep(0.3)
    assert found.returncode == 0
