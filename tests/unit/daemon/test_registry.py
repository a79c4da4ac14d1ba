"""Pull, push, login, search, distribution: what reaches the engine, and what an error looks like."""

from __future__ import annotations

import base64
import json

import pytest

from corten.api.image import DistributionInspect, SearchResult
from corten.api.system import AuthResult
from corten.engine.registry_access import Access
from corten.errors import Denied, NotFound, Unavailable
from corten.oci.descriptor import Descriptor
from corten.oci.digest import sha256_of
from corten.oci.platform import Platform
from tests.unit.daemon.conftest import Served


def test_pull_streams_lines(served: Served) -> None:
    registry = served.engine.images.registry
    registry.lines = [{"status": "Pulling from a", "id": "1"}, {"status": "Digest: x"}]
    answer = served.request(
        "POST",
        "/v1.44/images/create?fromImage=h%3A5000%2Fa&tag=1&platform=linux%2Farm64&allPlatforms=1",
        headers={"X-Registry-Auth": "e30="},
    )
    assert answer.status == 200
    assert [json.loads(line) for line in answer.body.split(b"\r\n") if line] == registry.lines
    expected = {"platform": "linux/arm64", "all_platforms": True, "access": Access("e30=")}
    assert registry.calls == [("pull", ("h:5000/a", "1"), expected)]


def test_a_platform_may_be_an_object(served: Served) -> None:
    served.engine.images.registry.lines = [{"status": "x"}]
    platform = "%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22arm%22%2C%22variant%22%3A%22v6%22%7D"
    assert served.request("POST", f"/images/a/push?platform={platform}&tlsVerify=false").status == 200
    ((_, names, options),) = served.engine.images.registry.calls
    assert names == ("a", "") and options == {"platform": "linux/arm/v6", "access": Access(insecure=True)}
    answer = served.request("POST", "/images/a/push?platform=%7B")
    assert answer.status == 400 and b"invalid platform" in answer.body


@pytest.mark.parametrize("path", ["/images/create?fromImage=a", "/images/a/push"])
def test_an_error_has_a_status_before_the_stream_and_a_line_in_it(served: Served, path: str) -> None:
    registry = served.engine.images.registry
    registry.lines = [NotFound("no such tag")]
    answer = served.request("POST", path)
    assert (answer.status, json.loads(answer.body)) == (404, {"message": "no such tag"})
    registry.lines = [{"status": "x"}, Unavailable("the registry is gone")]
    answer = served.request("POST", path)
    assert answer.status == 200
    assert json.loads(answer.body.splitlines()[-1]) == {
        "error": "the registry is gone",
        "errorDetail": {"message": "the registry is gone"},
    }


def test_login(served: Served) -> None:
    registry = served.engine.images.registry
    registry.answers["login"] = AuthResult(status="Login Succeeded", identity_token="t")
    body = json.dumps({"username": "u", "password": "p", "serveraddress": "h:5000"})
    answer = served.request("POST", "/auth", body)
    assert json.loads(answer.body) == {"Status": "Login Succeeded", "IdentityToken": "t"}
    assert registry.calls[0][1][0].username == "u"
    registry.answers["login"] = Denied("unauthorized")
    answer = served.request("POST", "/auth", body)
    assert (answer.status, json.loads(answer.body)) == (401, {"message": "unauthorized"})


def test_search(served: Served) -> None:
    registry = served.engine.images.registry
    registry.answers["search"] = [SearchResult(name="a", star_count=3)]
    auth = base64.urlsafe_b64encode(b"{}").decode()
    answer = served.request(
        "GET",
        "/images/search?term=x&limit=5&filters=%7B%22stars%22%3A%5B%223%22%5D%7D",
        headers={"X-Registry-Auth": auth},
    )
    (hit,) = json.loads(answer.body)
    assert hit["name"] == "a" and hit["star_count"] == 3 and hit["is_official"] is False
    options = {"limit": 5, "filters": {"stars": ["3"]}, "access": Access(auth)}
    assert registry.calls == [("search", ("x",), options)]


def test_distribution(served: Served) -> None:
    digest = sha256_of(b"")
    served.engine.images.registry.answers["distribution"] = DistributionInspect(
        descriptor=Descriptor("m", digest, 3), platforms=[Platform("arm64", "linux", "v8")]
    )
    answer = served.request("GET", "/v1.40/distribution/h:5000/a/b:1/json")
    assert json.loads(answer.body) == {
        "Descriptor": {"mediaType": "m", "digest": digest, "size": 3},
        "Platforms": [{"architecture": "arm64", "os": "linux", "variant": "v8"}],
    }
    assert served.engine.images.registry.calls == [("distribution", ("h:5000/a/b:1",), {"access": Access()})]
