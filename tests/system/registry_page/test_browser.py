"""The page in Chromium: by keyboard alone, without JavaScript, in the dark, on a phone; and what everybody
can read of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_gallery import Gallery, layer_of
from tests.registry_server import ServerProcess, make_image
from tests.system.registry_page.browser import MAGNIFIED, PHONE, WIDE, Browser, open_browser

HERE = Path(__file__).parent
CHECKOUT = "/r/shop/checkout-service"
LONG = "/".join(["an-exceedingly-long-component-name"] * 6)
PAGES = {
    "repositories": "/",
    "search": "/?q=shop",
    "nothing": "/?q=no-such-thing",
    "tags": "/r/shop/web-frontend",
    "image": f"{CHECKOUT}:1.5.0",
    "index": "/r/shop/web-frontend:latest",
    "chart": "/r/charts/checkout:1.5.0",
    "comparison": "/compare/shop/checkout-service?from=1.4.0&to=1.5.0",
    "hostile": "/r/evil/image:x",
    "long": f"/r/{LONG}",
    "absent": "/r/absent",
}


@pytest.fixture(scope="module")
def window(gallery_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    client = gallery_server.client()
    Gallery(client).image(LONG, "a-tag-" + "x" * 110, [layer_of({"a": b"1"})])
    image = make_image("paging")
    for number in range(60):
        client.push_image(f"paging/name-{number:02}", "1", image)
    yield from open_browser(gallery_server.url, tmp_path_factory.mktemp("chromium"))


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    window.show_as()
    window.driver.get("about:blank")
    window.complaints()
    yield window
    window.scripts(True)


@pytest.fixture(scope="module")
def layer_address(gallery_server: ServerProcess) -> str:
    """The files of the layer of the hostile image, listed already."""
    from tests.system.registry_page.conftest import Pages
    from tests.system.registry_page.test_pages import eventually

    pages = Pages(gallery_server.client())
    row = pages.get("/r/evil/image:x").one("tr", id="layer-1")
    address = row.all("a")[-1].attributes["href"]
    eventually(pages, address)
    eventually(pages, PAGES["comparison"])
    return address


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE, MAGNIFIED], ids=["wide", "phone", "400-percent"])
def test_everybody_can_read_it(
    browser: Browser, layer_address: str, tmp_path: Path, scheme: str, size: tuple[int, int]
) -> None:
    """Landmarks, headings, names, tables, contrast, sizes; nothing to be scrolled sideways; no complaints."""
    check = (HERE / "accessibility.js").read_text()
    browser.show_as(scheme, size)
    wrong = {}
    for name, path in {**PAGES, "layer": layer_address}.items():
        browser.open(path)
        if found := browser.run(check):
            wrong[name] = found
        browser.picture(tmp_path / f"{name}.png")
        complaints = [text for text in browser.complaints() if name != "absent" or "404" not in text]
        assert complaints == [], name
    assert wrong == {}
    assert len(list(tmp_path.glob("*.png"))) == len(PAGES) + 1


def test_the_check_finds_what_is_wrong(browser: Browser) -> None:
    """Each of these has to be found: a check that finds nothing checks nothing."""
    check = (HERE / "accessibility.js").read_text()
    browser.open(PAGES["image"])
    for change, words in (
        ("document.querySelector('h1').style.color = '#ccc'", "contrast of"),
        ("document.documentElement.lang = ''", "no language"),
        ("document.querySelector('label[for=q]').remove()", "has no name"),
        ("document.querySelector('tbody th').removeAttribute('scope')", "has no header"),
        ("document.querySelector('main').append(document.createElement('h4'))", "leaves a level out"),
        ("document.querySelector('svg').removeAttribute('role')", "has no text"),
        ("document.querySelector('rect').style.fill = '#f7f4f1'", "<rect"),
        ("document.body.style.width = '3000px'", "3000 wide"),
        ("document.querySelector('main').id = 'q'", "there twice"),
    ):
        browser.open(PAGES["image"])
        assert browser.run(check) == []
        browser.run(change)
        assert any(words in problem for problem in browser.run(check)), change


def test_the_colours_follow_the_system(browser: Browser) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        browser.show_as(scheme)
        browser.open("/")
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


ACTIVE = """
const at = document.activeElement;
if (!at || at === document.body) return null;
const style = getComputedStyle(at);
return [at.outerHTML.slice(0, 200), style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        at.getBoundingClientRect().width > 0];
"""
FOCUSABLE = """
const can = "a[href], button, input:not([type=hidden]), select, summary, pre[tabindex]";
const isFolded = (element) => element.closest("details:not([open]) > :not(summary)");
return [...document.querySelectorAll(can)]
  .filter((element) => element.checkVisibility() && !isFolded(element)).length;
"""


@pytest.mark.parametrize("name", ["repositories", "tags", "image", "comparison"])
def test_by_keyboard_one_reaches_everything_and_gets_out_again(browser: Browser, name: str) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(PAGES[name])
    wanted = browser.run(FOCUSABLE)
    seen = []
    for _ in range(wanted + 5):
        browser.press(Keys.TAB)
        if (active := browser.run(ACTIVE)) is None:
            break
        seen.append(active)
    assert "Skip to the content" in seen[0][0]
    assert len(seen) == wanted
    for html, is_outlined, is_visible in seen:
        assert is_outlined and is_visible, html


def test_by_keyboard_from_the_list_to_a_comparison(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open("/")
    browser.press(Keys.TAB, Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "content"
    browser.open("/")
    browser.press(Keys.TAB, Keys.TAB, Keys.TAB, "payments")
    browser.until("return document.querySelectorAll('tbody tr').length === 1")
    for _ in range(10):
        browser.press(Keys.TAB)
        if browser.run("return document.activeElement.textContent") == "shop/checkout-service":
            break
    browser.press(Keys.ENTER)
    browser.until("return location.pathname === arguments[0]", CHECKOUT)
    for _ in range(60):
        browser.press(Keys.TAB)
        if browser.run(
            "return document.activeElement.closest('form[action^=\"/compare/\"] button') !== null"
        ):
            break
    browser.press(Keys.ENTER)
    browser.until("return location.pathname.startsWith('/compare/')")
    assert browser.path() == "/compare/shop/checkout-service?from=1.4.0&to=1.5.0"
    browser.until("return document.querySelector('h1').textContent === 'What changed'")


def test_without_javascript(browser: Browser) -> None:
    """The same by links and forms; what needs a script is not there."""
    browser.scripts(False)
    browser.open("/")
    field = browser.find("#q")
    field.send_keys("payments")
    field.submit()
    assert browser.path() == "/?q=payments"
    browser.link("shop/checkout-service").click()
    assert browser.path() == CHECKOUT
    browser.link("by name").click()
    assert browser.path() == f"{CHECKOUT}?order=name"
    browser.find(".commands")
    assert [button for button in browser.all("button.copy") if button.is_displayed()] == []
    browser.open("/?q=paging")
    browser.link("Next page").click()
    assert len(browser.all("tbody tr")) == 10
    browser.open(f"{CHECKOUT}:1.5.0")
    browser.find("details summary").click()
    assert "@sha256:" in browser.find("details .commands").text


def test_results_come_while_one_types(browser: Browser) -> None:
    browser.open("/")
    browser.run("window.mark = 1")
    browser.find("#q").send_keys("payments")
    browser.until("return document.querySelectorAll('tbody tr').length === 1")
    assert browser.run("return window.mark") == 1, "the page was loaded again"
    assert browser.path() == "/?q=payments"
    assert browser.run("return document.activeElement.id") == "q"
    assert browser.find("#status").get_attribute("textContent") == "Results for “payments”: 1 shown"
    assert browser.driver.title.startswith("Search: payments")
    browser.open(CHECKOUT)
    browser.find("#q").send_keys("web")
    browser.until("return location.search === '?q=web'")
    browser.driver.back()
    browser.until("return document.querySelector('h1').textContent === 'shop/checkout-service'")
    assert browser.complaints() == []


def test_pages_are_turned_in_place(browser: Browser) -> None:
    browser.open("/?q=paging")
    browser.run("window.mark = 1")
    browser.link("Next page").click()
    browser.until("return document.querySelectorAll('tbody tr').length === 10")
    assert browser.run("return window.mark") == 1
    assert browser.run("return document.activeElement.tagName") == "H1"
    browser.driver.back()
    browser.until("return document.querySelectorAll('tbody tr').length === 50")
    assert browser.run("return window.mark") == 1
    browser.open("/r/shop/web-frontend")
    field = browser.find("#filter")
    field.send_keys("2.1")
    field.submit()
    browser.until("return document.querySelectorAll('.list tbody tr').length === 1")
    assert browser.path() == "/r/shop/web-frontend?q=2.1"


def test_commands_are_copied(browser: Browser, gallery_server: ServerProcess) -> None:
    browser.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.open(f"{CHECKOUT}:1.5.0")
    button = browser.all("button.copy")[1]
    assert button.accessible_name == "Copy the command for docker"
    button.click()
    browser.until("return arguments[0].textContent === 'Copied'", button)
    copied = browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == f"docker pull {gallery_server.host}/shop/checkout-service:1.5.0"
    assert "Copied" in browser.find("#status").get_attribute("textContent")


def test_what_is_hostile_does_nothing(browser: Browser, layer_address: str) -> None:
    for path in (*PAGES.values(), layer_address, "/?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"):
        browser.open(path)
        assert browser.run("return document.scripts.length") == 1
        assert (
            browser.run(
                "return document.querySelectorAll('bdi *:not(.hidden-character):not(.shortened)').length"
            )
            == 0
        )
    browser.open("/")
    browser.find("#q").send_keys("<img src=x onerror=alert(1)>")
    browser.until("return document.querySelector('h1').textContent.includes('onerror')")
    assert browser.run("return document.querySelectorAll('main img').length") == 0
    assert not [text for text in browser.complaints() if "404" not in text]
