from __future__ import annotations

import pytest

pytest.importorskip("jinja2")

from corten.registry.page.text import age, change, iso, linked, plain, short_digest, short_tag, size, visible


@pytest.mark.parametrize(
    ("character", "number"),
    [
        ("\u202e", "U+202E"),
        ("\u2066", "U+2066"),
        ("\u200b", "U+200B"),
        ("\u0000", "U+0000"),
        ("\n", "U+000A"),
        ("\u061c", "U+061C"),
        ("\ufeff", "U+FEFF"),
        ("\u2028", "U+2028"),
        ("\U000e0041", "U+E0041"),
        ("\ud800", "U+D800"),
        ("\ue000", "U+E000"),
    ],
)
def test_what_hides_or_reorders_is_shown_by_its_number(character: str, number: str) -> None:
    shown = str(visible(f"a{character}b"))
    assert character not in shown
    assert shown == f'<bdi>a<span class="hidden-character">{number}</span>b</bdi>'
    assert plain(f"a{character}b") == f"a[{number}]b"


def test_markup_is_text() -> None:
    assert "<script" not in str(visible("<script>"))
    assert '"' not in str(visible('" onmouseover="x'))


def test_letters_of_every_script_stay() -> None:
    assert str(visible("Grüße, שלום, 日本語, 🚢")) == "<bdi>Grüße, שלום, 日本語, 🚢</bdi>"


def test_lines_are_kept_where_that_is_asked_for() -> None:
    assert str(visible("a\n\tb\r", lines=True)) == (
        '<bdi>a\n\tb<span class="hidden-character">U+000D</span></bdi>'
    )


def test_long_texts_are_shortened() -> None:
    shown = str(visible("x" * 100_000))
    assert len(shown) < 600
    assert "(100,000 characters)" in shown


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "//example.com",
        'https://example.com/"onclick="x',
        "https://example.com/<script>",
        "https://user@example.com/",
        "https://example.com\\@evil.example",
        "https://exam\u202eple.com/",
        "https://example.com/ x",
        "https://example.com/\n",
        "see https://example.com",
        "ftp://example.com",
        "https://" + "a" * 500,
    ],
)
def test_what_is_no_link(text: str) -> None:
    assert "<a" not in str(linked(text))


def test_links_tell_nobody_where_they_come_from() -> None:
    assert str(linked("https://git.example.com/a/b?x=1&y=2")) == (
        '<a href="https://git.example.com/a/b?x=1&amp;y=2" rel="noopener noreferrer nofollow">'
        "https://git.example.com/a/b?x=1&amp;y=2</a>"
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1234, "1.23 KB"),
        (999_600, "1 MB"),
        (45_678_901, "45.7 MB"),
        (123_456_789_012, "123 GB"),
        (10**19, "10000 PB"),
    ],
)
def test_sizes(amount: int, text: str) -> None:
    assert size(amount) == text


def test_changes_have_a_sign() -> None:
    assert [change(amount) for amount in (1500, -1500, 0)] == ["+1.5 KB", "−1.5 KB", "±0 B"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "just now"),
        (60, "1 minute ago"),
        (7199, "119 minutes ago"),
        (7200, "2 hours ago"),
        (86400 * 3, "3 days ago"),
        (86400 * 400, "13 months ago"),
        (86400 * 800, "2 years ago"),
        (-3600, "in the future"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert age(0, seconds) == text


def test_times_that_no_calendar_has() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(1 << 62) == ""


def test_digests_and_tags_are_shortened() -> None:
    digits = "0123456789abcdef" * 4
    assert short_digest(f"sha256:{digits}") == "0123456789ab"
    assert short_digest("sha512:" + digits * 2) == "sha512:0123456789ab"
    assert short_tag(f"sha256-{digits}.sig") == "sha256-0123456789ab….sig"
    assert short_tag("sha256-x") == "sha256-x"
    assert short_tag("v1.2.3-rc1") == "v1.2.3-rc1"
