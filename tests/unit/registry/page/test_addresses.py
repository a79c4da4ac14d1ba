from __future__ import annotations

import pytest

from corten.registry.page import addresses
from corten.registry.page.addresses import Address, Place, is_page, read

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/", Address(Place.REPOSITORIES)),
        ("/sign-in", Address(Place.SIGN_IN)),
        ("/static/page.css", Address(Place.STATIC, "", "page.css")),
        ("/r/a", Address(Place.TAGS, "a")),
        ("/r/r/layer/compare/static", Address(Place.TAGS, "r/layer/compare/static")),
        ("/r/a/b:v1.0", Address(Place.MANIFEST, "a/b", "v1.0")),
        (f"/r/a/b@{DIGEST}", Address(Place.MANIFEST, "a/b", DIGEST)),
        (f"/layer/a/b@{DIGEST}", Address(Place.LAYER, "a/b", DIGEST)),
        ("/compare/a/b", Address(Place.COMPARISON, "a/b")),
    ],
)
def test_pages(path: str, address: Address) -> None:
    assert is_page(path)
    assert read(path) == address


@pytest.mark.parametrize(
    "path",
    [
        "/r/",
        "/r/A",
        "/r/a/",
        "/r/../a",
        "/r/a:",
        "/r/a:-x",
        "/r/a@sha256:x",
        "/r/a@md5:" + "a" * 32,
        "/r/a:b:c",
        f"/r/a:t@{DIGEST}",
        "/layer/a",
        f"/layer/A@{DIGEST}",
        "/compare/",
        "/compare/a:b",
        "/r/a\nb",
        "/r/<script>",
    ],
)
def test_paths_at_which_there_is_no_page(path: str) -> None:
    assert is_page(path)
    assert read(path) is None


def test_nothing_of_the_api_is_a_page() -> None:
    for path in ("/v2/", "/v2/r/a/manifests/b", "/token", "/healthz", "/metrics", "/v1", "/rx/a"):
        assert not is_page(path)


def test_what_is_written_can_be_read() -> None:
    for written, place in (
        (addresses.tags("a/b"), Place.TAGS),
        (addresses.manifest("a/b", "tag"), Place.MANIFEST),
        (addresses.manifest("a/b", DIGEST), Place.MANIFEST),
        (addresses.layer("a/b", DIGEST), Place.LAYER),
        (addresses.compare("a/b"), Place.COMPARISON),
    ):
        found = read(written)
        assert found is not None
        assert (found.place, found.repository) == (place, "a/b")


def test_questions_are_quoted() -> None:
    assert addresses.compare("a", from_="x&y", to="z", platform="") == "/compare/a?from=x%26y&to=z"
    assert addresses.repositories(q='"><') == "/?q=%22%3E%3C"
