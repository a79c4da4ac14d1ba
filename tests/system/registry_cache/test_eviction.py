"""Copies go when there are too many, and when nobody uses them; what was pushed stays."""

from __future__ import annotations

from tests.registry_server import Client, digest_of, make_image
from tests.system.registry_cache.conftest import Start
from tests.upstream_server import Upstream, wait_until

COLLECTION = {"interval-seconds": 0.2, "grace-seconds": 0}
SIZE = 100_000


def _pull(client: Client, name: str) -> None:
    document = client.get(f"/v2/{name}/manifests/1").json()
    for entry in (document["config"], *document["layers"]):
        assert client.get(f"/v2/{name}/blobs/{entry['digest']}").status == 200


def test_the_budget(start: Start, upstream: Upstream) -> None:
    cache = start(
        upstreams={"up": {"url": upstream.url}},
        cache={"max-bytes": int(2.5 * SIZE)},
        collection=COLLECTION,
        workers=2,
    )
    client = cache.client()
    ours = make_image(size=5 * SIZE)
    client.push_image("up/own", "1", ours)
    images = {name: upstream.add(name, "1", make_image(size=SIZE)) for name in ("a", "b", "c")}
    for name in images:
        _pull(client, f"up/{name}")

    def stored() -> int:
        return len(list(cache.directory.glob("registry/blobs/*/*/*")))

    def evictions() -> int:
        records = "".join(path.read_text() for path in cache.directory.glob("registry/audit/*"))
        return records.count("manifest.evict")

    # Two copies and what was pushed, each a config and a layer; the third may not be stored yet when it came.
    wait_until(lambda: evictions() == 1 and stored() == 6)
    upstream.stop()
    for blob in ours.blobs:
        assert client.get(f"/v2/up/own/blobs/{digest_of(blob)}").body == blob
    _pull(client, "up/c")
    assert client.get("/v2/up/a/manifests/1").status == 502
    assert evictions() == 1
    upstream.start()
    _pull(client, "up/a")
    assert cache.run("check", read_blobs=True).returncode == 0


def test_what_nobody_uses(start: Start, upstream: Upstream) -> None:
    cache = start(
        upstreams={"up": {"url": upstream.url}}, cache={"unused-days": 2 / 86_400}, collection=COLLECTION
    )
    client = cache.client()
    upstream.add("app", "1", make_image())
    _pull(client, "up/app")
    wait_until(lambda: not list(cache.directory.glob("registry/blobs/*/*/*")))
    assert client.get("/v2/_catalog").json()["repositories"] == []
    _pull(client, "up/app")
