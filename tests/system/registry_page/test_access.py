"""Who sees what, where there are accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("argon2")
pytest.importorskip("cryptography")
pytest.importorskip("jwt")

from tests.page_html import Element, parse
from tests.registry_accounts import UNLIMITED, Accounts, basic, everywhere
from tests.registry_gallery import Gallery, layer_of
from tests.registry_server import Client, ServerProcess
from tests.system.registry_page.conftest import Pages
from tests.system.registry_page.test_pages import links, rows

BASE = layer_of({"base": b"shared by all"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """bob pulls from team/**, everybody from public/**; nobody but root sees secret/**."""
    directory = tmp_path_factory.mktemp("page-accounts")
    server = ServerProcess(directory, limits=UNLIMITED).start()
    gallery = Gallery(server.client())
    for name in ("team/app", "public/app", "secret/app"):
        gallery.image(name, "1", [BASE], config={"Labels": {"word": f"about-{name.partition('/')[0]}"}})
    accounts = Accounts(server)
    accounts.add("root", "root's secret", "admin:**")
    accounts.add("bob", "bob's secret", "pull:team/**")
    accounts.run("user", "grant", "anonymous", "pull:public/**")
    everywhere(server, lambda c: c.get("/v2/").status, 401)
    everywhere(server, lambda c: c.get("/v2/public/app/tags/list").status, 200)
    everywhere(server, lambda c: c.get("/v2/", Authorization=basic("bob", "bob's secret")).status, 200)
    yield server
    server.close()


@pytest.fixture
def pages(server: ServerProcess) -> Iterator[Pages]:
    client = Client(server.url)
    yield Pages(client)
    client.close()


def headers(name: str) -> dict[str, str]:
    return {"Authorization": basic(name, f"{name}'s secret")} if name else {}


def repositories(page: Element) -> list[str]:
    return [row[0].split()[0] for row in rows(page)] if page.all("table") else []


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("root", ["public/app", "secret/app", "team/app"]),
        ("bob", ["team/app"]),
    ],
)
def test_the_list_has_what_one_may_pull(pages: Pages, who: str, seen: list[str]) -> None:
    found = repositories(pages.get("/", **headers(who)))
    assert [name for name in found if name in seen] == seen
    assert "secret/app" not in found or who == "root"
    page = pages.get("/", **headers(who))
    assert f"Signed in as {who}" in page.text


def test_search_does_not_tell_of_what_one_may_not_see(pages: Pages) -> None:
    assert repositories(pages.get("/?q=about-secret", **headers("root"))) == ["secret/app"]
    assert repositories(pages.get("/?q=about-secret", **headers("bob"))) == []
    assert "secret" not in pages.get("/?q=about", **headers("bob")).one("main").text


def test_layers_do_not_tell_who_else_has_them(pages: Pages) -> None:
    shared = " ".join(rows(pages.get("/r/team/app:1", **headers("root")), "layers")[0])
    assert "secret/app:1" in shared and "public/app:1" in shared
    assert "secret" not in pages.get("/r/team/app:1", **headers("bob")).text


@pytest.mark.parametrize(
    "path",
    [
        "/r/secret/app",
        "/r/secret/app:1",
        "/compare/secret/app",
        f"/layer/secret/app@sha256:{'0' * 64}",
        "/r/absent",
    ],
)
def test_what_one_may_not_see(pages: Pages, path: str) -> None:
    page = pages.get(path, 403, **headers("bob"))
    assert "bob may not pull from" in page.one("main").text
    page = pages.get(path, 401)
    assert "Sign in to pull from" in page.one("main").text


def test_a_401_is_a_page_that_asks_for_basic(pages: Pages) -> None:
    answer = pages.answer("/r/team/app", 401)
    assert answer.header("WWW-Authenticate") == 'Basic realm="Corten registry", charset="UTF-8"'
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("Cache-Control") == "no-store"
    assert "This registry has accounts" in pages.get("/r/team/app", 401).text
    api = pages.client.get("/v2/team/app/tags/list")
    assert api.header("WWW-Authenticate").startswith("Bearer ")


def test_wrong_passwords(pages: Pages) -> None:
    page = pages.get("/r/team/app", 401, Authorization=basic("bob", "wrong"))
    assert "Wrong user name or password" in page.one("main").text
    assert "bob" not in page.one("header").text


def test_too_many_wrong_passwords_are_told_by_a_page(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, limits={"rate": {"sign-ins": "1/hour"}}).start()
    try:
        Accounts(server).add("root", "root's secret", "admin:**")
        everywhere(server, lambda c: c.get("/v2/").status, 401)
        pages = Pages(server.client())
        wrong = basic("root", "wrong")
        pages.answer("/v2/", 401, Authorization=wrong)
        # Of this process nobody has seen a page yet.
        answer = pages.answer("/", 429, Authorization=wrong)
        assert int(answer.header("Retry-After")) > 3000
        assert answer.header("Content-Security-Policy").startswith("default-src 'none'")
        assert "Too many requests" in parse(answer.body.decode()).one("h1").text
        api = pages.answer("/v2/", 429, Authorization=wrong, Accept="text/html")
        assert api.codes == ["TOOMANYREQUESTS"]
    finally:
        server.close()


def test_everybody_sees_what_is_public_and_can_sign_in(pages: Pages) -> None:
    page = pages.get("/r/public/app")
    assert links(page)["Sign in"] == "/sign-in"
    assert pages.answer("/sign-in", 401).header("WWW-Authenticate").startswith("Basic ")
    answer = pages.answer("/sign-in", 303, **headers("bob"))
    assert answer.header("Location") == "/"
    assert "Sign in" not in links(pages.get("/r/team/app", **headers("bob")))


def test_what_nobody_may_see_without_signing_in_is_not_kept_for_others(pages: Pages) -> None:
    answer = pages.answer("/r/team/app", **headers("bob"))
    assert "private" in answer.header("Cache-Control") and "Authorization" in answer.header("Vary")
    assert pages.answer("/r/team/app", 401, If_None_Match=answer.header("ETag"))


def test_denied_pages_are_in_the_audit_log(server: ServerProcess, pages: Pages) -> None:
    pages.answer("/r/secret/app:1", 403, **headers("bob"))
    lines = [
        json.loads(line) for line in (server.directory / "registry/audit/audit.log").read_text().splitlines()
    ]
    assert any("/r/secret/app:1" in json.dumps(line) and "bob" in json.dumps(line) for line in lines)


def test_without_accounts_there_is_nothing_to_sign_in_to(gallery_server: ServerProcess) -> None:
    pages = Pages(gallery_server.client())
    assert "Sign in" not in links(pages.get("/"))
    assert pages.answer("/sign-in", 303).header("Location") == "/"


def test_a_registry_without_a_page(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = ServerProcess(tmp_path_factory.mktemp("no-page"), page={"enabled": False}).start()
    try:
        answer = server.client().get("/")
        assert (answer.status, answer.json()["errors"][0]["message"]) == (404, "this registry has no page")
        assert server.client().get("/v2/").status == 200
    finally:
        server.close()
