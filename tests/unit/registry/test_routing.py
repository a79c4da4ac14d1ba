from __future__ import annotations

import pytest

from corten.registry.routing import Resource, Route, find


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/", Route(Resource.BASE)),
        ("/v2", Route(Resource.BASE)),
        ("/v2/_catalog", Route(Resource.CATALOG)),
        ("/v2/a/tags/list", Route(Resource.TAGS, "a")),
        ("/v2/a/b/c/tags/list", Route(Resource.TAGS, "a/b/c")),
        ("/v2/a/manifests/latest", Route(Resource.MANIFEST, "a", "latest")),
        ("/v2/a/b/manifests/sha256:00", Route(Resource.MANIFEST, "a/b", "sha256:00")),
        ("/v2/a/blobs/sha256:00", Route(Resource.BLOB, "a", "sha256:00")),
        ("/v2/a/blobs/sha256%3A00", Route(Resource.BLOB, "a", "sha256:00")),
        ("/v2/a%2Fb/manifests/x", Route(Resource.MANIFEST, "a/b", "x")),
        ("/v2/a/blobs/uploads/", Route(Resource.UPLOADS, "a")),
        ("/v2/a/blobs/uploads", Route(Resource.UPLOADS, "a")),
        ("/v2/a/blobs/uploads/f00", Route(Resource.UPLOAD, "a", "f00")),
        ("/v2/a/referrers/sha256:00", Route(Resource.REFERRERS, "a", "sha256:00")),
        # Repositories may be called as the words of the API.
        ("/v2/blobs/manifests/x", Route(Resource.MANIFEST, "blobs", "x")),
        ("/v2/a/manifests/blobs/x", Route(Resource.BLOB, "a/manifests", "x")),
        ("/v2/tags/list/tags/list", Route(Resource.TAGS, "tags/list")),
        ("/v2/a/uploads/blobs/uploads/x", Route(Resource.UPLOAD, "a/uploads", "x")),
        ("/healthz", Route(Resource.HEALTH, "", "live")),
        ("/readyz", Route(Resource.HEALTH, "", "ready")),
        ("/", Route(Resource.PAGE, "", "/")),
        ("/r/v2/name%3atag", Route(Resource.PAGE, "", "/r/v2/name:tag")),
        ("/static/page.css", Route(Resource.PAGE, "", "/static/page.css")),
    ],
)
def test_paths(path: str, route: Route) -> None:
    assert find(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/v1/",
        "/r",
        "/layers/x",
        "/v2/a",
        "/v2/a/b",
        "/v2/a/tags/other",
        "/v2/_catalog/x",
        "/v2x/",
        "//v2/",
    ],
)
def test_paths_that_are_none(path: str) -> None:
    assert find(path) is None
