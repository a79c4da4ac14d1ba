"""Manifests through the cache: fetched, checked, stale, limited, pushed."""

from __future__ import annotations

import time

import pytest

from tests.registry_server import Client, ServerProcess, digest_of, index_of, make_image
from tests.system.registry_cache.conftest import Start
from tests.upstream_server import Upstream


def test_by_tag_and_by_digest(upstream: Upstream, client: Client) -> None:
    image = upstream.add("lib/app", "1", make_image())
    for reference in ("1", image.digest):
        answer = client.get(f"/v2/up/lib/app/manifests/{reference}")
        assert (answer.status, answer.body) == (200, image.payload)
        assert answer.header("Docker-Content-Digest") == image.digest
    head = client.head("/v2/up/lib/app/manifests/1")
    assert (head.status, head.header("Content-Length")) == (200, str(len(image.payload)))
    assert upstream.count("/manifests/", "GET") == 1
    assert client.get("/v2/up/lib/app/tags/list").json()["tags"] == ["1"]


def test_head_comes_first(upstream: Upstream, client: Client) -> None:
    """As docker and containerd ask: what HEAD has fetched, GET finds."""
    image = upstream.add("lib/app", "1", make_image())
    assert client.head("/v2/up/lib/app/manifests/1").header("Docker-Content-Digest") == image.digest
    assert client.get(f"/v2/up/lib/app/manifests/{image.digest}").body == image.payload
    assert upstream.count("/manifests/") == 1


def test_a_fresh_tag_is_not_checked(start: Start, upstream: Upstream) -> None:
    client = start(upstreams={"up": {"url": upstream.url, "tag-ttl-seconds": 3600}}).client()
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").body == image.payload
    assert upstream.count("/manifests/") == 1


def test_a_tag_is_checked_and_moves(upstream: Upstream, client: Client) -> None:
    old = upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").body == old.payload
    assert client.get("/v2/up/app/manifests/1").body == old.payload
    asked = upstream.asked[-1]
    assert (asked.method, asked.if_none_match) == ("HEAD", f'"{old.digest}"')
    new = upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").body == new.payload
    assert client.get(f"/v2/up/app/manifests/{old.digest}").body == old.payload


def test_a_head_that_tells_nothing(upstream: Upstream, client: Client) -> None:
    old = upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").body == old.payload
    upstream.fail("/manifests/", method="HEAD", status=405)
    new = upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").body == new.payload


def test_children_of_an_index_come_when_asked_for(
    upstream: Upstream, cache: ServerProcess, client: Client
) -> None:
    one, two = make_image(), make_image()
    index = index_of(one, two)
    upstream.add("multi", "", one)
    upstream.add("multi", "", two)
    upstream.add_manifest("multi", "latest", index)
    assert client.get("/v2/up/multi/manifests/latest").body == index
    assert upstream.count("/manifests/") == 1
    assert client.get(f"/v2/up/multi/manifests/{one.digest}").body == one.payload
    assert upstream.count(two.digest) == 0
    # What is not here yet is no fault of the registry's.
    check = cache.run("check")
    assert (check.returncode, "no problems" in check.stdout) == (0, True), check.stdout
    cache.run("gc", grace=0)
    assert client.get(f"/v2/up/multi/manifests/{one.digest}").status == 200


def test_tags_of_both(upstream: Upstream, client: Client) -> None:
    for tag in ("1", "3", "5"):
        upstream.add("app", tag, make_image())
    assert client.get("/v2/up/app/tags/list").json()["tags"] == ["1", "3", "5"]
    for tag in ("0", "3", "4"):
        client.push_image("up/app", tag, make_image())
    assert client.get("/v2/up/app/tags/list").json()["tags"] == ["0", "1", "3", "4", "5"]
    page = client.get("/v2/up/app/tags/list?n=2&last=0")
    assert (page.json()["tags"], "last=3" in page.header("Link")) == (["1", "3"], True)
    assert client.get("/v2/up/app/tags/list?last=5").json()["tags"] == []
    assert client.get("/v2/up/none/tags/list").codes == ["NAME_UNKNOWN"]
    upstream.stop()
    answer = client.get("/v2/up/app/tags/list")
    assert (answer.json()["tags"], bool(answer.header("Warning"))) == (["0", "3", "4"], True)
    assert client.get("/v2/up/none/tags/list").status == 502


def test_what_upstream_does_not_have(upstream: Upstream, client: Client) -> None:
    for _ in range(2):
        answer = client.get("/v2/up/app/manifests/none")
        assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])
    assert upstream.count("/manifests/") == 1  # it is not asked again at once
    assert client.get(f"/v2/up/app/manifests/{digest_of(b'none')}").status == 404
    assert client.get("/v2/elsewhere/app/manifests/1").codes == ["NAME_UNKNOWN"]
    assert upstream.count("elsewhere") == 0


def test_a_tag_that_upstream_has_deleted(upstream: Upstream, client: Client) -> None:
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    del upstream.manifests["app", "1"]
    assert client.get("/v2/up/app/manifests/1").status == 404
    assert client.get("/v2/up/app/tags/list").json()["tags"] == []
    assert client.get(f"/v2/up/app/manifests/{image.digest}").status == 200


# -- failures


@pytest.mark.parametrize("status", [500, 503])
def test_stale_when_upstream_has_errors(upstream: Upstream, client: Client, status: int) -> None:
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    upstream.fail("/v2/", status=status)
    answer = client.get("/v2/up/app/manifests/1")
    assert (answer.status, answer.body) == (200, image.payload)
    assert answer.header("Warning").startswith('299 - "this tag was last checked ')
    asked = len(upstream.asked)
    assert client.get("/v2/up/app/manifests/1").header("Warning")
    assert len(upstream.asked) == asked  # it is left alone for a moment
    missing = client.get("/v2/up/app/manifests/2")
    assert (missing.status, missing.codes) == (502, ["UNAVAILABLE"])
    assert missing.header("Retry-After")


def test_stale_when_upstream_is_down(upstream: Upstream, client: Client) -> None:
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    upstream.stop()
    answer = client.get("/v2/up/app/manifests/1")
    assert (answer.status, answer.body) == (200, image.payload)
    assert "cannot reach" in answer.header("Warning")
    for _ in range(2):
        assert client.get("/v2/up/app/manifests/2").status == 502
    upstream.start()
    upstream.add("app", "2", image)
    assert client.get("/v2/up/app/manifests/2").status == 200


def test_stale_when_upstream_refuses(upstream: Upstream, client: Client) -> None:
    """Credentials that have expired take nothing away."""
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    upstream.basic = "somebody:else"
    answer = client.get("/v2/up/app/manifests/1")
    assert (answer.status, answer.body, bool(answer.header("Warning"))) == (200, image.payload, True)
    assert client.get("/v2/up/app/manifests/2").status == 404


def test_too_many_requests(upstream: Upstream, cache: ServerProcess, client: Client) -> None:
    """Upstream is not asked before it says, by no process; not even after a restart."""
    image = upstream.add("app", "1", make_image())
    client.get("/v2/up/app/manifests/1")
    upstream.fail("/v2/", status=429, headers={"Retry-After": "40"})
    answer = client.get("/v2/up/app/manifests/2")
    assert (answer.status, answer.codes) == (429, ["TOOMANYREQUESTS"])
    assert 30 <= int(answer.header("Retry-After")) <= 40
    upstream.faults.clear()
    asked = len(upstream.asked)
    stale = client.get("/v2/up/app/manifests/1")
    assert (stale.body, "too many requests" in stale.header("Warning")) == (image.payload, True)
    assert client.get(f"/v2/up/app/blobs/{digest_of(image.layers[0])}").status == 429
    cache.stop()
    cache.start()
    again = cache.client().get("/v2/up/app/manifests/3")
    assert (again.status, int(again.header("Retry-After")) > 20) == (429, True)
    assert len(upstream.asked) == asked


def test_a_pause_ends(upstream: Upstream, client: Client) -> None:
    image = upstream.add("app", "1", make_image())
    upstream.fail("/v2/", times=1, status=429, headers={"Retry-After": "1"})
    assert client.get("/v2/up/app/manifests/1").status == 429
    time.sleep(1.1)
    assert client.get("/v2/up/app/manifests/1").body == image.payload


def test_nothing_remains_of_what_upstream_grants(upstream: Upstream, client: Client) -> None:
    """What belongs to the last manifest may be fetched; another manifest is not asked for."""
    image = upstream.add("app", "1", make_image())
    upstream.headers = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"}
    assert client.get("/v2/up/app/manifests/1").body == image.payload
    for blob in image.blobs:
        assert client.get(f"/v2/up/app/blobs/{digest_of(blob)}").body == blob
    assert client.get("/v2/up/app/manifests/2").status == 429
    assert client.get("/v2/up/app/manifests/1").header("Warning")
    assert upstream.count("/manifests/") == 1


def test_a_manifest_that_is_another(upstream: Upstream, client: Client) -> None:
    """Upstream says one digest and sends another manifest: nothing is stored, and what is here stays."""
    image = upstream.add("app", "1", make_image())
    upstream.add("app", "other", make_image())
    other = upstream.manifests["app", "other"][1]
    upstream.fail(image.digest, body=other)
    answer = client.get(f"/v2/up/app/manifests/{image.digest}")
    assert (answer.status, "digest mismatch" in answer.body.decode()) == (502, True)
    upstream.faults.clear()
    assert client.get(f"/v2/up/app/manifests/{image.digest}").body == image.payload


def test_what_is_no_manifest(upstream: Upstream, client: Client) -> None:
    for number, payload in enumerate((b"<html>", b"{}", b'{"schemaVersion":1}', b"[" * 100_000)):
        upstream.add_manifest("app", str(number), payload, "application/json")
        assert client.get(f"/v2/up/app/manifests/{number}").status == 502
    upstream.add_manifest("app", "large", b" " * (5 << 20), "application/json")
    assert client.get("/v2/up/app/manifests/large").status == 502
    assert client.get("/v2/_catalog").json()["repositories"] == []


# -- pushes into the same name space


def test_a_pushed_tag_is_nobodys_copy(upstream: Upstream, client: Client) -> None:
    theirs = upstream.add("app", "1", make_image())
    ours = make_image()
    client.push_image("up/app", "1", ours)
    asked = len(upstream.asked)
    assert client.get("/v2/up/app/manifests/1").body == ours.payload
    assert len(upstream.asked) == asked
    assert client.get(f"/v2/up/app/manifests/{theirs.digest}").body == theirs.payload
    assert client.get("/v2/up/app/manifests/1").body == ours.payload


def test_a_push_over_a_copy(upstream: Upstream, client: Client) -> None:
    """From then on the tag is not upstream's; when it is deleted, it is again."""
    theirs = upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").body == theirs.payload
    ours = make_image()
    client.push_image("up/app", "1", ours)
    upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").body == ours.payload
    assert client.delete("/v2/up/app/manifests/1").status == 202
    assert client.get("/v2/up/app/manifests/1").body not in (ours.payload, theirs.payload)


def test_a_push_of_the_same_image(upstream: Upstream, cache: ServerProcess, client: Client) -> None:
    """Blobs that the registry says it has need not be sent: what is not here yet comes from upstream."""
    image = upstream.add("app", "1", make_image(layers=2, size=100_000))
    assert client.get("/v2/up/app/manifests/1").status == 200
    for blob in image.blobs:
        head = client.head(f"/v2/up/app/blobs/{digest_of(blob)}")
        assert (head.status, head.header("Content-Length")) == (200, str(len(blob)))
    assert client.push_manifest("up/app", "mine", image.payload).status == 201
    upstream.stop()
    for blob in image.blobs:
        assert client.get(f"/v2/up/app/blobs/{digest_of(blob)}").body == blob
    assert cache.run("check", read_blobs=True).returncode == 0


def test_a_push_needs_what_nobody_has(upstream: Upstream, client: Client) -> None:
    answer = client.push_manifest("up/app", "1", make_image().payload)
    assert (answer.status, set(answer.codes)) == (404, {"MANIFEST_BLOB_UNKNOWN"})
    assert not upstream.asked


# -- names


def test_namespace(start: Start, upstream: Upstream) -> None:
    """As containerd asks a mirror."""
    client = start(upstreams={"docker.io": {"url": upstream.url, "library": True}}).client()
    image = upstream.add("library/app", "1", make_image())
    assert client.get("/v2/library/app/manifests/1?ns=docker.io").body == image.payload
    blob = image.layers[0]
    assert client.get(f"/v2/library/app/blobs/{digest_of(blob)}?ns=docker.io").body == blob
    assert client.get("/v2/library/app/manifests/1").codes == ["NAME_UNKNOWN"]
    assert client.get("/v2/docker.io/library/app/manifests/1").status == 200
    assert client.get("/v2/docker.io/app/manifests/1").body == image.payload


def test_mirror_of_everything(start: Start, upstream: Upstream) -> None:
    """As dockerd asks its registry-mirrors; one's own repositories lie beside."""
    client = start(upstreams={"": {"url": upstream.url, "library": True}}).client()
    image = upstream.add("library/app", "1", make_image())
    assert client.get("/v2/library/app/manifests/1").body == image.payload
    assert client.get("/v2/app/manifests/1").body == image.payload
    ours = make_image()
    client.push_image("team/own", "1", ours)
    assert client.get("/v2/team/own/manifests/1").body == ours.payload
    answer = client.get("/v2/library/app/manifests/1?ns=ghcr.io")
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])


def test_the_longest_prefix_counts(start: Start, upstream: Upstream) -> None:
    second = Upstream()
    try:
        one = upstream.add("x/app", "1", make_image())
        two = second.add("app", "1", make_image())
        client = start(
            upstreams={"a": {"url": upstream.url}, "b": {"url": second.url, "prefix": "a/b"}}
        ).client()
        assert client.get("/v2/a/x/app/manifests/1").body == one.payload
        assert client.get("/v2/a/b/app/manifests/1").body == two.payload
    finally:
        second.stop()
