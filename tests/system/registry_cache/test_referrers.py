"""What refers to an image (signatures, SBOMs) through the cache: upstream's, and what was pushed here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.registry_server import (
    OCI_INDEX,
    OCI_MANIFEST,
    Client,
    Image,
    ServerProcess,
    descriptor,
    digest_of,
    make_image,
)
from tests.system.registry_cache.conftest import Start
from tests.upstream_server import Upstream

SBOM, SIGNATURE = "application/vnd.example.sbom", "application/vnd.example.signature"


def referrer_of(image: Image, kind: str, **annotations: str) -> Image:
    return make_image(subject=image.descriptor, artifactType=kind, annotations=annotations)


def entry(found: Image) -> dict[str, Any]:
    """How the list tells of one."""
    more = {"artifactType": found.extra["artifactType"]}
    if found.extra["annotations"]:
        more["annotations"] = found.extra["annotations"]
    return descriptor(found.payload, OCI_MANIFEST, **more)


def tell(upstream: Upstream, repository: str, image: Image, *found: Image) -> None:
    """Upstream has the referrers API, and says this."""
    upstream.referrers[repository, image.digest] = [entry(one) for one in found]


def ask(client: Client, image: Image, query: str = "", repository: str = "up/app") -> Any:
    answer = client.get(f"/v2/{repository}/referrers/{image.digest}{query}")
    assert (answer.status, answer.header("Content-Type")) == (200, OCI_INDEX), answer.body
    return answer


def listed(client: Client, image: Image, query: str = "", repository: str = "up/app") -> list[Any]:
    return list(ask(client, image, query, repository).json()["manifests"])


@pytest.fixture
def image(upstream: Upstream, client: Client) -> Image:
    """An image that was asked for before."""
    found = upstream.add("app", "1", make_image())
    assert client.get("/v2/up/app/manifests/1").status == 200
    return found


def test_of_a_registry_like_this_one(start: Start) -> None:
    """What was pushed there and what was pushed here are one list, and each can be fetched."""
    behind = start()
    cache = start(upstreams={"up": {"url": behind.url, "tag-ttl-seconds": 0}})
    there, here = behind.client(), cache.client()
    image = make_image()
    there.push_image("lib/app", "1", image)
    theirs = [referrer_of(image, SBOM, number=str(number)) for number in range(3)]
    for one in theirs:
        there.push_image("lib/app", one.digest, one)
    assert here.get("/v2/up/lib/app/manifests/1").status == 200
    assert listed(here, image, repository="up/lib/app") == [entry(one) for one in theirs]
    ours = referrer_of(image, SIGNATURE, key="ours")
    here.push_image("up/lib/app", ours.digest, ours)
    assert listed(here, image, repository="up/lib/app") == [entry(one) for one in (ours, *theirs)]
    answer = ask(here, image, f"?artifactType={SBOM}", "up/lib/app")
    assert answer.json()["manifests"] == [entry(one) for one in theirs]
    assert answer.header("OCI-Filters-Applied") == "artifactType"
    for one in theirs:
        assert here.get(f"/v2/up/lib/app/manifests/{one.digest}").body == one.payload
        assert here.get(f"/v2/up/lib/app/blobs/{digest_of(one.layers[0])}").body == one.layers[0]
    # A copy of what upstream does not list any more is not listed here either.
    there.delete(f"/v2/lib/app/manifests/{theirs[0].digest}")
    assert listed(here, image, repository="up/lib/app") == [entry(one) for one in (ours, *theirs[1:])]
    assert listed(there, image, repository="lib/app") == [entry(one) for one in theirs[1:]]


def test_by_the_referrers_tag(upstream: Upstream, client: Client, image: Image) -> None:
    """Where upstream has no such API (distribution-spec, "Unavailable Referrers API")."""
    one = upstream.add("app", "", referrer_of(image, SIGNATURE, number="1"))
    payload = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry(one)]}
    upstream.add_manifest("app", image.digest.replace(":", "-"), json.dumps(payload).encode())
    assert listed(client, image) == [entry(one)]
    assert client.get(f"/v2/up/app/manifests/{one.digest}").body == one.payload
    bare = upstream.add("app", "bare", make_image())
    assert listed(client, bare) == []
    # What is under such a tag may be something else.
    upstream.add("app", bare.digest.replace(":", "-"), make_image())
    assert listed(client, bare) == []


def test_long_lists_have_pages(upstream: Upstream, client: Client, image: Image) -> None:
    found = [referrer_of(image, SBOM, number=str(number)) for number in range(7)]
    tell(upstream, "app", image, *found)
    upstream.referrers_in_page = 3
    assert listed(client, image) == [entry(one) for one in found]
    assert upstream.count("/referrers/") == 3


def test_a_fresh_list_is_not_asked_for_again(start: Start, upstream: Upstream) -> None:
    """Not by another process either, nor after a restart."""
    cache = start(upstreams={"up": {"url": upstream.url, "tag-ttl-seconds": 3600}}, workers=2)
    image = upstream.add("app", "1", make_image())
    one = referrer_of(image, SBOM)
    tell(upstream, "app", image, one)
    assert cache.client().get("/v2/up/app/manifests/1").status == 200
    for _ in range(6):
        assert listed(cache.client(), image) == [entry(one)]
    assert upstream.count("/referrers/") == 1
    cache.stop()
    cache.start()
    tell(upstream, "app", image)
    assert listed(cache.client(), image) == [entry(one)]
    assert upstream.count("/referrers/") == 1
    # Nothing is kept for a manifest that is not here.
    other = make_image()
    for _ in range(2):
        assert listed(cache.client(), other) == []
    assert upstream.count(f"/referrers/{other.digest}") == 2


def test_stale_when_upstream_is_down(upstream: Upstream, client: Client, image: Image) -> None:
    one = referrer_of(image, SBOM)
    tell(upstream, "app", image, one)
    assert not ask(client, image).header("Warning")
    unsigned = upstream.add("app", "2", make_image())
    assert client.get("/v2/up/app/manifests/2").status == 200
    upstream.fail("/referrers/", status=503)
    answer = ask(client, image)
    assert answer.json()["manifests"] == [entry(one)]
    assert answer.header("Warning").startswith('299 - "these referrers were last checked ')
    asked = len(upstream.asked)
    assert ask(client, image).header("Warning")
    assert len(upstream.asked) == asked  # it is left alone for a moment
    # Of what upstream has never told, nobody can say that there is nothing.
    missing = client.get(f"/v2/up/app/referrers/{unsigned.digest}")
    assert (missing.status, missing.codes) == (502, ["UNAVAILABLE"])
    ours = referrer_of(unsigned, SIGNATURE)
    client.push_image("up/app", ours.digest, ours)
    told = ask(client, unsigned)
    assert (told.json()["manifests"], "alone" in told.header("Warning")) == ([entry(ours)], True)
    pushed = make_image()
    client.push_image("up/app", "mine", pushed)
    told = ask(client, pushed)
    assert (told.json()["manifests"], "alone" in told.header("Warning")) == ([], True)


def test_too_many_requests(upstream: Upstream, client: Client, image: Image) -> None:
    one = referrer_of(image, SBOM)
    tell(upstream, "app", image, one)
    assert listed(client, image) == [entry(one)]
    other = upstream.add("app", "2", make_image())
    assert client.get("/v2/up/app/manifests/2").status == 200
    upstream.fail("/referrers/", status=429, headers={"Retry-After": "40"})
    answer = ask(client, image)
    assert answer.json()["manifests"] == [entry(one)]
    assert "too many requests" in answer.header("Warning")
    asked = len(upstream.asked)
    refused = client.get(f"/v2/up/app/referrers/{other.digest}")
    assert (refused.status, refused.codes) == (429, ["TOOMANYREQUESTS"])
    assert 30 <= int(refused.header("Retry-After")) <= 40
    assert client.get("/v2/up/app/manifests/3").status == 429
    assert len(upstream.asked) == asked


def test_upstream_refuses(upstream: Upstream, client: Client, image: Image) -> None:
    """As with an image that only this registry has, below the names of an upstream that tells nobody."""
    upstream.basic = "somebody:else"
    answer = ask(client, image)
    assert (answer.json()["manifests"], bool(answer.header("Warning"))) == ([], True)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="html"),
        pytest.param(b'{"schemaVersion":2,"manifests":[{"digest":1}]}', id="another-shape"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b" " * (5 << 20), id="large"),
    ],
)
def test_what_is_no_list(upstream: Upstream, client: Client, image: Image, body: bytes) -> None:
    fault = upstream.fail("/referrers/", status=200, headers={"Content-Type": OCI_INDEX}, body=body)
    assert client.get(f"/v2/up/app/referrers/{image.digest}").status == 502
    upstream.faults.remove(fault)
    tell(upstream, "app", image, referrer_of(image, SBOM))
    assert len(listed(client, image)) == 1


def test_entries_that_nobody_can_fetch_are_left_out(
    upstream: Upstream, cache: ServerProcess, client: Client, image: Image
) -> None:
    one = referrer_of(image, SBOM)
    bad = [{**entry(one), "digest": "md5:0"}, {**entry(one), "size": -1, "digest": digest_of(b"x")}]
    upstream.referrers["app", image.digest] = [*bad, entry(one)]
    assert listed(client, image) == [entry(one)]
    # The list goes with the image.
    assert client.delete(f"/v2/up/app/manifests/{image.digest}").status == 202
    check = cache.run("check")
    assert (check.returncode, "no problems" in check.stdout) == (0, True), check.stdout
