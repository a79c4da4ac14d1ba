"""What the pages say, without a browser."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest

from tests.page_html import Element
from tests.registry_gallery import COSIGN, SPDX, Gallery, layer_of
from tests.registry_server import OCI_INDEX, ServerProcess, make_image
from tests.system.registry_page.conftest import Pages

FRONTEND = "/r/shop/web-frontend"
CHECKOUT = "/r/shop/checkout-service"


def rows(page: Element, section: str = "") -> list[list[str]]:
    """The cells of the table in a section, or of the first one."""
    place = page.one("section", aria_labelledby=section) if section else page
    body = place.all("table")[0].one("tbody")
    return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in body.all("tr")]


def links(page: Element) -> dict[str, str]:
    return {link.text: link.attributes["href"] for link in page.all("a")}


def test_the_repositories(pages: Pages) -> None:
    # Other tests push to this registry as well: there may be two pages of them.
    address = "/"
    addresses: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    while address:
        page = pages.get(address)
        found |= {row[0].split()[0]: row for row in rows(page)}
        addresses |= links(page)
        address = addresses.pop("Next page", "")
    assert {"base/example-linux", "charts/checkout", "edge/resize", "shop/checkout-service"} <= set(found)
    assert found["shop/checkout-service"][0] == "shop/checkout-service Takes orders and asks for money"
    assert found["shop/checkout-service"][1:3] == ["1.5.0", "2"]
    assert found["shop/web-frontend"][1] == "latest"  # not the signature, which was pushed later
    assert "Helm chart" in found["charts/checkout"][0]
    assert addresses["shop/checkout-service"] == CHECKOUT


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("checkout", ["charts/checkout", "shop/checkout-service"]),
        ("CHECKOUT shop", ["shop/checkout-service"]),
        ("payments", ["shop/checkout-service"]),
        ("team=storefront", ["shop/web-frontend"]),
        ("example.com frontend", []),
        ("customers+see".replace("+", " "), ["shop/web-frontend"]),
        ("installs the", ["charts/checkout"]),
        ("no-such-thing", []),
    ],
)
def test_search(pages: Pages, question: str, names: list[str]) -> None:
    page = pages.get(f"/?q={question.replace(' ', '+')}")
    assert [row[0].split()[0] for row in (rows(page) if page.all("table") else [])] == names
    assert page.one("input", id="q").attributes["value"] == question
    if not names:
        assert "Nothing matches" in page.one("main").text


def test_search_tells_why(pages: Pages) -> None:
    assert "matches com.example.team=payments" in rows(pages.get("/?q=payments"))[0][0]


def test_what_was_just_pushed_is_found(gallery: Gallery, pages: Pages) -> None:
    gallery.image("fresh/image", "1", [layer_of({"a": b"1"})], config={"Labels": {"word": "zanzibar"}})
    assert [row[0].split()[0] for row in rows(pages.get("/?q=zanzibar"))] == ["fresh/image"]


def test_an_empty_registry_tells_how_to_push(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path).start()
    try:
        page = Pages(server.client()).get("/")
        assert "Nothing has been pushed yet" in page.text
        assert f"docker push {server.host}/busybox" in page.text
        for code in page.all("code"):
            assert "None" not in code.text
    finally:
        server.close()


def test_pages_of_repositories_and_of_tags(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path).start()
    try:
        client = server.client()
        image = make_image("many")
        for number in range(53):
            client.push_image(f"team/name-{number:03}", "1", image)
        for number in range(60):
            assert client.push_manifest("team/name-000", f"t{number:02}", image.payload).status == 201
        pages = Pages(client)
        first = pages.get("/")
        second = pages.get(links(first)["Next page"])
        assert [len(rows(first)), len(rows(second))] == [50, 3]
        assert rows(second)[0][0].startswith("team/name-050")
        assert "Next page" not in links(second) and links(second)["First page"] == "/"
        found = pages.get("/?q=name")
        assert len(rows(pages.get(links(found)["Next page"]))) == 3
        for path in ("/r/team/name-000", "/r/team/name-000?order=name"):
            first = pages.get(path)
            second = pages.get(links(first)["Next page"])
            names = [row[0] for row in rows(first) + rows(second)]
            assert len(names) == len(set(names)) == 61
            assert "61 tags" in first.text
        assert [row[0] for row in rows(pages.get("/r/team/name-000?q=T5"))] == [
            f"t{number}" for number in range(59, 49, -1)
        ]
    finally:
        server.close()


def test_tags(pages: Pages) -> None:
    page = pages.get(FRONTEND)
    found = {row[0].split()[0]: row for row in rows(page)}
    assert found["latest"][1] == "linux/amd64 linux/arm64/v8 linux/arm/v7"
    assert found["latest"][2] == "8.51 MB"
    assert "ago" in found["latest"][3] or found["latest"][3] == "just now"
    assert found["latest"][4] == "SBOM Signature × 2"
    assert found["2.0.0"][4] == "–"
    (signature,) = [row for name, row in found.items() if name.startswith("sha256-")]
    assert "Signature of" in signature[0]
    assert [option.text for option in page.one("select", id="from").all("option")] == [
        "latest",
        "2.1.0",
        "2.0.0",
    ]


def test_commands(gallery_server: ServerProcess, pages: Pages) -> None:
    host = gallery_server.host
    page = pages.get(f"{CHECKOUT}:1.5.0")
    digest = page.one("code", class_="long").text
    lines = [code.text for item in page.all("ul", class_="commands") for code in item.all("code")]
    assert lines == [
        f"corten pull {host}/shop/checkout-service:1.5.0",
        f"docker pull {host}/shop/checkout-service:1.5.0",
        f"podman pull --tls-verify=false {host}/shop/checkout-service:1.5.0",
        f"corten pull {host}/shop/checkout-service@{digest}",
        f"docker pull {host}/shop/checkout-service@{digest}",
        f"podman pull --tls-verify=false {host}/shop/checkout-service@{digest}",
    ]
    chart = pages.get(
        "/r/charts/checkout:1.5.0", X_Forwarded_Proto="https", X_Forwarded_Host="reg.example.com"
    )
    assert "helm pull oci://reg.example.com/charts/checkout --version 1.5.0" in [
        code.text for code in chart.all("code")
    ]
    assert pages.get(f"{CHECKOUT}:1.5.0", Host='"><script>').text.count("REGISTRY/shop") == 6


def test_an_image(pages: Pages) -> None:
    page = pages.get(f"{CHECKOUT}:1.5.0")
    layers = rows(page, "layers")
    assert [row[1] for row in layers] == [
        "ADD file:7f3c in /",
        "RUN apt-get update && apt-get install -y python3 libssl3",
        "COPY . /app",
        "COPY --chmod=755 entrypoint /app/entrypoint",
    ]
    assert layers[0][4].startswith("1.4.0, ")
    assert "base/example-linux:12" in layers[0][4] and "shop/web-frontend:" in layers[0][4]
    assert [layers[1][4], layers[2][4]] == ["1.4.0", "–"]
    classes = [rect.attributes["class"] for rect in page.one("figure").all("rect")]
    assert classes == ["shared", "shared", "own", "shared"]
    assert "3 of 4 layers" in page.one("section", aria_labelledby="layers").text
    config = page.one("section", aria_labelledby="config").text
    for wanted in (
        "Entrypoint /app/entrypoint --serve",
        "Command --port 8080",
        "User 10001:10001",
        "Ports 8080/tcp, 9090/tcp",
        "SHOP_VERSION 1.5.0",
        "com.example.team payments",
    ):
        assert wanted in config
    steps = [item.text for item in page.one("ol", class_="history").all("li")]
    assert steps[1] == 'CMD ["sh"] no layer'
    assert steps[4].startswith("COPY . /app layer 3, ")


def test_the_picture_is_as_wide_as_the_layers_are_large(pages: Pages) -> None:
    page = pages.get(f"{CHECKOUT}:1.5.0")
    parts = [(float(r.attributes["x"]), float(r.attributes["width"])) for r in page.one("figure").all("rect")]
    assert parts[0][0] == 0
    assert sum(width for _start, width in parts) == pytest.approx(1000, abs=0.1)
    for (start, width), (following, _width) in itertools.pairwise(parts):
        assert following == pytest.approx(start + width, abs=0.02)
    assert parts[0][1] > parts[1][1] > parts[2][1] > parts[3][1] > 0


def test_an_index_and_what_is_attached_to_it(pages: Pages) -> None:
    page = pages.get(f"{FRONTEND}:latest")
    assert [row[0] for row in rows(page, "platforms")] == ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"]
    attached = rows(page, "referrers")
    assert sorted(row[0] for row in attached) == ["SBOM", "Signature", "Signature"]
    for row in page.one("section", aria_labelledby="referrers").all("a"):
        artifact = pages.get(row.attributes["href"])
        assert re.search(r"Attached to [0-9a-f]{12} \(latest\)", artifact.text)
    child = pages.get(links(page)["linux/arm64/v8"])
    assert "Part of" in child.text and "linux/arm64/v8" in child.text


def test_artifacts_are_shown_as_what_they_are(pages: Pages) -> None:
    chart = pages.get("/r/charts/checkout:1.5.0")
    assert chart.one("ul", class_="facts").text.startswith("Helm chart")
    assert "appVersion 1.5.0" in chart.one("section", aria_labelledby="config").text
    wasm = pages.get("/r/edge/resize:0.3")
    assert wasm.one("ul", class_="facts").text.startswith("WebAssembly")
    assert "resize.wasm" in wasm.text
    download = wasm.one("a", download="")
    assert pages.answer(download.attributes["href"]).body[:4] == b"\0asm"


def test_manifests_without_a_tag(gallery: Gallery, pages: Pages) -> None:
    found = gallery.image("lonely/image", "", [layer_of({"a": b"lonely"})])
    page = pages.get("/r/lonely/image")
    assert rows(page)[0][1:3] == ["Image", "linux/amd64"]
    assert pages.get(f"/r/lonely/image@{found['digest']}").one("main")


def eventually(pages: Pages, path: str) -> Element:
    """A page that may have to ask again."""
    deadline = time.monotonic() + 60
    while (page := pages.get(path)).all("meta", http_equiv="refresh"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return page


def test_files_of_a_layer(pages: Pages) -> None:
    image = pages.get(f"{CHECKOUT}:1.5.0")
    address = image.one("tr", id="layer-2").all("a")[-1].attributes["href"]
    page = eventually(pages, address)
    facts = page.one("ul", class_="facts").text
    assert "61 files" in facts and "1 removed from below" in facts
    assert "/usr/lib" in page.one("section", aria_labelledby="directories").text
    names = {row[0].split()[0] for row in rows(page.all("table", class_="files")[0])}
    assert {"usr/lib/libssl.so.3", "usr/lib/python3/", "var/cache/list"} <= names
    found = eventually(pages, f"{address}?f=MODULE_7")
    assert [row[0] for row in rows(found.all("table", class_="files")[0])] == ["usr/lib/python3/module_7.py"]


def test_what_changed_between_two_tags(pages: Pages) -> None:
    page = eventually(pages, "/compare/shop/checkout-service?from=1.4.0&to=1.5.0")
    config = {row[0]: row[1:] for row in rows(page, "config")}
    assert config["Environment SHOP_VERSION"] == ["1.4.0", "1.5.0"]
    assert config["Label org.opencontainers.image.version"] == ["1.4.0", "1.5.0"]
    assert [row[0] for row in rows(page, "layers")] == ["= kept", "= kept", "− gone", "+ new", "= kept"]
    files = page.one("section", aria_labelledby="files")
    tables = {table.one("caption").text: rows(table) for table in files.all("table")}
    assert tables["Added files"] == [["app/new.py", "198 B"]]
    assert tables["Removed files"] == [["app/old.py", "3 KB"]]
    assert [row[0] for row in tables["Changed files"]] == ["app/data.bin", "app/main.py"]
    assert tables["Changed files"][0][1:] == ["content", "120 KB → 190 KB"]


def test_comparison_of_indexes_is_by_platform(pages: Pages) -> None:
    page = eventually(pages, "/compare/shop/web-frontend?from=2.0.0&to=latest&platform=linux/arm/v7")
    assert page.one("select", id="platform").one("option", selected="").text == "linux/arm/v7"
    assert [row[0] for row in rows(page, "layers")] == ["= kept", "− gone", "+ new"]


def test_comparison_with_nothing_chosen_asks(pages: Pages) -> None:
    page = pages.get("/compare/shop/checkout-service?to=1.5.0")
    assert page.one("select", id="to").one("option", selected="").text == "1.5.0"
    same = pages.get("/compare/shop/checkout-service?from=1.5.0&to=1.5.0")
    assert "Both are the same manifest" in same.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/r/none", "There is no repository none in this registry."),
        ("/r/None", "There is no page at /r/None."),
        (f"{CHECKOUT}:9", "There is no 9 in shop/checkout-service; it may have been deleted."),
        (f"{CHECKOUT}@sha256:{'0' * 64}", "it may have been deleted"),
        (f"/layer/shop/checkout-service@sha256:{'0' * 64}", "There is no layer"),
        ("/compare/none?from=a&to=b", "There is no a in none"),
        ("/compare/shop/checkout-service?from=1.4.0&to=<b>", "neither a tag nor a digest"),
        ("/r/%2e%2e/x", "There is no page"),
    ],
)
def test_what_is_not_there(pages: Pages, path: str, words: str) -> None:
    page = pages.get(path, 404)
    assert words in page.one("main").text


def test_an_index_of_nothing(gallery: Gallery, pages: Pages) -> None:
    gallery.manifest("odd/index", "empty", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    assert pages.get("/r/odd/index:empty").one("ul", class_="facts").text.startswith("Multi-platform")


def test_what_refers_to_something_that_is_not_here(gallery: Gallery, pages: Pages) -> None:
    subject = {"mediaType": SPDX, "digest": f"sha256:{'e' * 64}", "size": 5}
    gallery.artifact("odd/signature", "s", COSIGN, b"signature", subject=subject)
    assert "which is not in this repository" in pages.get("/r/odd/signature:s").text


def test_a_manifest_of_many_layers_is_cut(gallery: Gallery, pages: Pages) -> None:
    layer = layer_of({"a": b"again"})
    gallery.image("odd/deep", "1", [layer] * 400, history=["RUN x"] * 400)
    page = pages.get("/r/odd/deep:1")
    assert len(rows(page, "layers")) == 300
    assert "100 more are not shown" in page.text


def test_a_variable_without_a_value_is_not_one_that_is_not_there(gallery: Gallery, pages: Pages) -> None:
    for tag, environment in (("1", ["GONE=", "KEPT="]), ("2", ["KEPT=", "NEW="])):
        gallery.image("odd/environment", tag, [layer_of({"a": b"1"})], config={"Env": environment})
    assert rows(pages.get("/compare/odd/environment?from=1&to=2"), "config") == [
        ["Environment GONE", "empty", "not there"],
        ["Environment NEW", "not there", "empty"],
    ]
