"""Caches that are each other's upstream: a request that comes back ends there, at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.registry_server import Client, ServerProcess, digest_of, make_image
from tests.system.registry_cache.conftest import Start
from tests.upstream_server import Upstream

SECONDS = 20
"""No answer may take so long; two registries that wait for each other do for longer."""


@pytest.fixture
def ring(tmp_path: Path, request: pytest.FixtureRequest) -> list[ServerProcess]:
    """As many as are asked for (`indirect`), each a mirror of the next for every name."""
    servers = []
    for number in range(getattr(request, "param", 2)):
        directory = tmp_path / f"ring{number}"
        directory.mkdir()
        servers.append(ServerProcess(directory, workers=2))
    for server, upstream in zip(servers, [*servers[1:], servers[0]], strict=True):
        server.settings["upstreams"] = {"": {"url": upstream.url, "tag-ttl-seconds": 0}}
        request.addfinalizer(server.close)
    for server in servers:
        server.start()
    return servers


def clients(ring: list[ServerProcess]) -> list[Client]:
    return [server.client(timeout=SECONDS) for server in ring]


def complaints(server: ServerProcess) -> int:
    return server.log.read_text().count("they are caches of each other")


@pytest.mark.parametrize("ring", [2, 3], indirect=True)
def test_what_nobody_has(ring: list[ServerProcess]) -> None:
    first = clients(ring)[0]
    image = make_image()
    for path in ("manifests/1", f"manifests/{image.digest}", f"blobs/{digest_of(b'x')}", "tags/list"):
        assert first.get(f"/v2/team/app/{path}").status == 404, path
    assert first.get(f"/v2/team/app/referrers/{image.digest}").json()["manifests"] == []
    assert 1 <= complaints(ring[0]) <= 2  # one of each of its processes
    assert [complaints(server) for server in ring[1:]] == [0] * (len(ring) - 1)


@pytest.mark.parametrize("ring", [2, 3], indirect=True)
def test_what_one_of_them_has(ring: list[ServerProcess]) -> None:
    """Others find it, whoever is asked; what it is to be asked through has no end of its own."""
    everybody = clients(ring)
    image = make_image(size=100_000)
    signature = make_image(subject=image.descriptor, artifactType="application/vnd.example.signature")
    everybody[-1].push_image("team/app", "1", image)
    everybody[-1].push_image("team/app", signature.digest, signature)
    for client in everybody:
        assert client.get("/v2/team/app/manifests/1").body == image.payload
        for blob in image.blobs:
            assert client.get(f"/v2/team/app/blobs/{digest_of(blob)}").body == blob
        assert client.get("/v2/team/app/tags/list").json()["tags"] == ["1"]
        (found,) = client.get(f"/v2/team/app/referrers/{image.digest}").json()["manifests"]
        assert found["digest"] == signature.digest
    # What its owner deletes is gone for all: they do not give copies to each other of what nobody has.
    assert everybody[-1].delete("/v2/team/app/manifests/1").status == 202
    for client in everybody:
        assert client.get("/v2/team/app/manifests/1").status == 404


def test_asked_from_both_sides_at_once(ring: list[ServerProcess]) -> None:
    """Neither waits for what the other waits for."""

    def ask(server: ServerProcess, number: int) -> int:
        return server.client(timeout=SECONDS).get(f"/v2/team/app/manifests/{number}").status

    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(ask, server, number) for number in range(20) for server in ring]
        assert {job.result() for job in jobs} == {404}


def test_a_blob_that_all_have_lost(ring: list[ServerProcess]) -> None:
    """The manifest is a copy in both, of what is nowhere any more."""
    one, two = clients(ring)
    image = make_image()
    two.push_image("app", "1", image)
    assert one.get("/v2/app/manifests/1").status == 200
    assert two.delete(f"/v2/app/manifests/{image.digest}").status == 202
    ring[1].run("gc", grace=0)
    assert two.get(f"/v2/app/manifests/{image.digest}").body == image.payload
    for client in (one, two):
        assert client.get(f"/v2/app/blobs/{digest_of(image.layers[0])}").status == 404
        assert client.get("/v2/app/manifests/1").status == 404


def test_a_chain_is_no_ring(start: Start, upstream: Upstream) -> None:
    image = upstream.add("app", "1", make_image())
    middle = start(upstreams={"": {"url": upstream.url}})
    front = start(upstreams={"": {"url": middle.url}})
    client = front.client(timeout=SECONDS)
    assert client.get("/v2/app/manifests/1").body == image.payload
    assert client.get(f"/v2/app/blobs/{digest_of(image.layers[0])}").body == image.layers[0]
    hops = [asked.via.split(", ") for asked in upstream.asked]
    assert hops and all(len(names) == 2 for names in hops)
    assert complaints(middle) == complaints(front) == 0


def test_the_name_outlives_a_restart(start: Start, upstream: Upstream) -> None:
    cache = start(upstreams={"": {"url": upstream.url}}, workers=2)
    for _ in range(4):
        assert cache.client().get("/v2/app/manifests/1").status == 404
    cache.stop()
    cache.start()
    assert cache.client().get("/v2/app/manifests/2").status == 404
    assert len({asked.via for asked in upstream.asked}) == 1
