"""Who may pull from a repository here may have it fetched, and nobody else."""

from __future__ import annotations

import pytest

pytest.importorskip("argon2")
pytest.importorskip("cryptography")
pytest.importorskip("jwt")

from tests.registry_accounts import Accounts, basic, bearer, everywhere
from tests.registry_server import digest_of, make_image
from tests.system.registry_cache.conftest import Start
from tests.upstream_server import Upstream


def test_permission_comes_before_the_fetch(start: Start, upstream: Upstream) -> None:
    cache = start(upstreams={"up": {"url": upstream.url}})
    accounts = Accounts(cache)
    accounts.add("root", "root's", "admin:**")
    accounts.add("alice", "alice's", "pull:up/team/*")
    alice, root = basic("alice", "alice's"), basic("root", "root's")
    everywhere(cache, lambda c: c.get("/v2/").status, 401)
    everywhere(cache, lambda c: c.get("/v2/", Authorization=alice).status, 200)
    image = make_image()
    for name in ("team/app", "other/app"):
        upstream.add(name, "1", image)
    blob = f"blobs/{digest_of(image.layers[0])}"
    client = cache.client()
    for path in ("up/team/app/manifests/1", f"up/team/app/{blob}", "team/app/manifests/1?ns=up"):
        assert client.get(f"/v2/{path}").status == 401
    assert client.get("/v2/up/other/app/manifests/1", Authorization=alice).status == 403
    assert client.get("/v2/other/app/manifests/1?ns=up", Authorization=alice).status == 403
    assert not upstream.asked
    token = bearer(client, "repository:up/team/app:pull", authorization=alice)
    assert client.get("/v2/team/app/manifests/1?ns=up", Authorization=token).body == image.payload
    assert client.get(f"/v2/up/team/app/{blob}", Authorization=token).body == image.layers[0]
    # What another repository has is no way around upstream for who may not pull from it.
    accounts.run("user", "grant", "alice", "pull:up/mine")
    upstream.add("mine", "1", image)
    everywhere(cache, lambda c: c.get("/v2/up/mine/manifests/1", Authorization=alice).status, 200)
    accounts.run("user", "revoke", "alice", "up/team/*")
    everywhere(cache, lambda c: c.get("/v2/up/team/app/manifests/1", Authorization=alice).status, 403)
    asked = upstream.count(digest_of(image.layers[0]))
    assert client.get(f"/v2/up/mine/{blob}", Authorization=alice).body == image.layers[0]
    assert upstream.count(digest_of(image.layers[0])) == asked + 1
    assert client.get(f"/v2/up/mine/{blob}", Authorization=root).status == 200
