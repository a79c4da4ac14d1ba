"""Whatever is pushed, it does nothing to whoever looks at it; and the page does nothing to anybody."""

from __future__ import annotations

import re

import pytest

from tests.page_html import Element, parse
from tests.registry_gallery import HOSTILE, Gallery, layer_of
from tests.system.registry_page.conftest import Pages
from tests.system.registry_page.test_pages import eventually

PLACES = [
    "/",
    "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
    '/?q="onfocus="alert(1)',
    "/?after=%00",
    "/?q=%00+%ff+%ed%a0%80",
    "/r/evil/image",
    "/r/evil/image?q=<script>",
    "/r/evil/image?after=9999999999999999999:x",
    "/r/evil/image?untagged=1",
    "/r/evil/image:x",
    "/compare/evil/image?from=x&to=x",
    "/r/shop/checkout-service:1.5.0",
]


def attributes_of(page: Element) -> list[tuple[str, str, str]]:
    return [(element.name, name, value) for element in page for name, value in element.attributes.items()]


def assert_harmless(page: Element) -> None:
    """No script but ours, no style and no handler in an element, no address but ours and the web's."""
    for element in page:
        if element.name == "script":
            assert element.attributes["src"].startswith("/static/page.js?v=")
            assert not element.children
        assert element.name not in ("style", "iframe", "object", "embed", "base", "template")
    for element_name, name, value in attributes_of(page):
        assert not name.startswith("on") and name not in ("style", "srcdoc", "formaction", "ping"), (
            element_name,
            name,
        )
        if name in ("href", "src", "action"):
            assert re.match(r"(?:/(?!/)|#|https?://[a-z0-9.-]+/|$)", value), (element_name, value)


@pytest.mark.parametrize("path", PLACES)
def test_nothing_that_was_pushed_or_asked_for_is_code(pages: Pages, path: str) -> None:
    answer = pages.answer(path)
    assert b"<script>alert" not in answer.body
    assert_harmless(pages.get(path))


def test_names_in_a_layer_are_no_code_either(pages: Pages) -> None:
    image = pages.get("/r/evil/image:x")
    address = image.one("tr", id="layer-1").all("a")[-1].attributes["href"]
    page = eventually(pages, address)
    assert_harmless(page)
    assert HOSTILE in page.text and "../../escape" in page.text
    assert "newU+000Aline" in page.text


def test_what_hides_is_made_visible(pages: Pages) -> None:
    for path in ("/", "/r/evil/image:x"):
        text = pages.answer(path).body.decode()
        assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)
        assert "U+202E" in text


def test_huge_texts_are_shortened(pages: Pages) -> None:
    answer = pages.answer("/r/evil/image:x")
    assert len(answer.body) < 60_000
    assert "(200,000 characters)" in answer.body.decode()


def test_addresses_in_annotations_are_text_unless_they_are_of_the_web(pages: Pages) -> None:
    page = pages.get("/r/evil/image:x")
    text = page.text
    for shown in (
        "javascript:alert(document.domain)",
        "data:text/html",
        'https://example.com/"onclick="alert(1)',
    ):
        assert shown in text
    links = [link for link in page.all("a") if link.attributes["href"].startswith("http")]
    assert links == []
    (source,) = [
        link
        for link in pages.get("/r/shop/checkout-service:1.5.0").all("a")
        if link.attributes["href"].startswith("http")
    ]
    assert source.attributes["rel"] == "noopener noreferrer nofollow"


@pytest.mark.parametrize(
    "path", ["/", "/r/evil/image:x", "/r/none", "/static/page.css", "/static/none", "/sign-in"]
)
def test_headers(pages: Pages, path: str) -> None:
    answer = pages.client.get(path)
    policy = answer.header("Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'")
    for word in ("unsafe", "http:", "https:", "data:", "*"):
        assert word not in policy
    for directive in ("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert directive in policy
    assert answer.header("X-Frame-Options") == "DENY"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Referrer-Policy") == "no-referrer"


def test_static_files_are_kept_by_their_content(pages: Pages) -> None:
    page = pages.get("/")
    address = page.one("link", rel="stylesheet").attributes["href"]
    named = pages.answer(address)
    assert named.header("Content-Type") == "text/css; charset=utf-8"
    assert named.header("Cache-Control") == "public, max-age=31536000, immutable"
    plain = pages.answer("/static/page.css")
    assert plain.header("Cache-Control") == "no-cache"
    assert pages.answer("/static/page.css", 304, If_None_Match=plain.header("ETag")).body == b""
    for name in ("../templates/base.html", "%2e%2e/site.py", "page.css/", ""):
        pages.answer(f"/static/{name}", 404)


def test_a_page_that_did_not_change_is_not_sent_again(pages: Pages) -> None:
    answer = pages.answer("/r/none", 404)
    assert answer.header("Cache-Control") == "no-store"
    answer = pages.answer("/compare/shop/checkout-service")
    assert answer.header("Cache-Control") == "private, no-cache"
    assert (
        pages.answer("/compare/shop/checkout-service", 304, If_None_Match=answer.header("ETag")).body == b""
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/", "/r/evil/image:x", "/compare/evil/image", "/sign-in", "/static/page.css"]
)
def test_no_request_changes_anything(pages: Pages, method: str, path: str) -> None:
    answer = pages.client.request(method, path, b"q=1", {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 405
    assert answer.header("Allow") == "GET, HEAD"
    assert "only GET, HEAD" in parse(answer.body.decode()).one("main").text


def test_forms_only_ask(pages: Pages) -> None:
    for path in ("/", "/r/shop/web-frontend", "/compare/shop/web-frontend?from=2.0.0&to=latest"):
        for form in pages.get(path).all("form"):
            assert form.attributes["method"] == "get"


def test_head_is_answered_without_a_body(pages: Pages) -> None:
    answer = pages.client.head("/r/shop/web-frontend")
    assert answer.status == 200 and answer.body == b""
    assert int(answer.header("Content-Length")) > 1000


def test_questions_that_are_too_long(pages: Pages) -> None:
    pages.answer(f"/?q={'x' * 5000}", 414)
    assert "Results for" in pages.get(f"/?q={'x+' * 900}").text


def test_a_manifest_of_a_type_that_nobody_knows(gallery: Gallery, pages: Pages) -> None:
    """Whatever its fields are: it is shown, or the page tells why not."""
    repository = "odd/manifest"
    config = gallery.blob(repository, b"{", "application/vnd.oci.image.config.v1+json")
    layer = gallery.blob(repository, layer_of({"a": b"1"}), "x/y")
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [{**layer, "annotations": {"org.opencontainers.image.title": HOSTILE}}],
        "annotations": {"": "", "x" * 5000: "y"},
    }
    gallery.manifest(repository, "1", document)
    page = pages.get(f"/r/{repository}:1")
    assert "The config cannot be shown" in page.text
    assert_harmless(page)
    assert_harmless(pages.get(f"/r/{repository}"))


def test_a_manifest_of_a_type_that_browsers_run_is_no_page(gallery: Gallery, pages: Pages) -> None:
    document = {"schemaVersion": 2, "mediaType": "text/html", "annotations": {"a": HOSTILE}}
    gallery.manifest("odd/html", "1", document)
    answer = pages.answer("/v2/odd/html/manifests/1")
    assert answer.header("Content-Type") == "text/html" and HOSTILE in answer.body.decode()
    assert answer.header("Content-Security-Policy") == "default-src 'none'; sandbox"


def test_pages_of_other_sites_push_nothing(pages: Pages) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = pages.client.request("POST", "/v2/odd/form/blobs/uploads/", b"", headers)
        assert (answer.status, answer.codes) == (403, ["DENIED"])
        # What to set is told where the registry cannot know its own name.
        assert ("external-url" in answer.body.decode()) == ("Origin" in headers)
    answer = pages.client.request("POST", "/v2/odd/form/blobs/uploads/", b"", {"Origin": pages.client.url})
    assert answer.status == 202
    pages.client.delete(answer.header("Location"))


def test_where_there_is_nothing_browsers_get_a_page_and_clients_json(pages: Pages) -> None:
    page = pages.get("/none/at/all", 404, Accept="text/html,*/*;q=0.8")
    assert "Not found" in page.one("h1").text and "/none/at/all" in page.one("main").text
    assert_harmless(pages.get("/%3Cscript%3Ealert(1)%3C/script%3E", 404, Accept="text/html"))
    for path, accept in (
        ("/none/at/all", "*/*"),
        ("/v2/none", "text/html"),
        ("/v2/a/tags/list", "text/html"),
    ):
        assert pages.answer(path, 404, Accept=accept).header("Content-Type") == "application/json"


def test_the_icon(pages: Pages) -> None:
    icon = pages.answer("/favicon.ico")
    assert icon.header("Content-Type").startswith("image/svg+xml")
    assert icon.body == pages.answer(pages.get("/").one("link", rel="icon").attributes["href"]).body
