"""Text from images, as the page shows it: what could mislead is made visible, what is long is shortened;
sizes and ages as people read them."""

from __future__ import annotations

import re
import time
import unicodedata

from markupsafe import Markup, escape

SHORT = 400
"""Characters of a value that a table shows."""

# Characters that reorder, hide or break what stands around them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9._~:/?#@!$&*+,;=%()-]*)?")
_YEAR_10000 = 253_402_300_800_000
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def is_hidden(character: str) -> bool:
    """Whether a character is shown by its number: controls, formats (bidi!), separators, lone surrogates."""
    return _HIDDEN.match(character) is not None or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co")


def visible(text: object, limit: int = SHORT, *, lines: bool = False) -> Markup:
    """HTML of a text from elsewhere, in a direction of its own. `lines` keeps line breaks and tabs.

    >>> str(visible("a<b\\u202e"))
    '<bdi>a&lt;b<span class="hidden-character">U+202E</span></bdi>'
    """
    whole = str(text)
    shown = whole[:limit]
    parts: list[str] = []
    plain = 0
    for position, character in enumerate(shown):
        if character.isascii() and character.isprintable():
            continue
        if not is_hidden(character) or (lines and character in "\n\t"):
            continue
        parts.append(str(escape(shown[plain:position])))
        parts.append(f'<span class="hidden-character">U+{ord(character):04X}</span>')
        plain = position + 1
    parts.append(str(escape(shown[plain:])))
    if len(whole) > limit:
        parts.append(f'<span class="shortened">… ({len(whole):,} characters)</span>')
    return Markup(f"<bdi>{''.join(parts)}</bdi>")


def linked(text: object, limit: int = SHORT) -> Markup:
    """`visible`, as a link where the whole is an address of the web and nothing else."""
    whole = str(text)
    if len(whole) <= limit and _LINK.fullmatch(whole):
        return Markup('<a href="{0}" rel="noopener noreferrer nofollow">{0}</a>').format(whole)
    return visible(whole, limit)


def plain(text: str, limit: int = SHORT) -> str:
    """`visible` without marks, for titles and attributes."""
    shown = "".join(f"[U+{ord(c):04X}]" if is_hidden(c) else c for c in text[:limit])
    return shown + ("…" if len(text) > limit else "")


def path(name: bytes) -> str:
    r"""A file's name; bytes that are no UTF-8 as \xNN."""
    return name.decode("utf-8", "backslashreplace")


def size(amount: int) -> str:
    """Bytes with three digits.

    >>> size(999), size(1234), size(45_678_901), size(1_000_000_000)
    ('999 B', '1.23 KB', '45.7 MB', '1 GB')
    """
    value, unit = float(amount), 0
    while abs(value) >= 999.5 and unit + 1 < len(_UNITS):
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{amount} B"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    number = f"{value:.{digits}f}"
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {_UNITS[unit]}"


def change(amount: int) -> str:
    """A difference of sizes, with its sign."""
    return f"{'+' if amount > 0 else '−' if amount < 0 else '±'}{size(abs(amount))}"


def age(milliseconds: int, now: float | None = None) -> str:
    """How long ago a moment is.

    >>> age(0, 30), age(0, 3600 * 5), age(0, 86400 * 400)
    ('just now', '5 hours ago', '13 months ago')
    """
    seconds = (time.time() if now is None else now) - milliseconds / 1000
    if seconds < -60:
        return "in the future"
    for limit, unit, word in (
        (60, 0, ""),
        (7200, 60, "minute"),
        (48 * 3600, 3600, "hour"),
        (60 * 86400, 86400, "day"),
        (730 * 86400, 30 * 86400, "month"),
        (float("inf"), 365 * 86400, "year"),
    ):
        if seconds < limit:
            if not unit:
                return "just now"
            count = int(seconds // unit)
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    raise AssertionError("unreachable")


def iso(milliseconds: int) -> str:
    """RFC 3339 in UTC, to the second; "" for a year that it cannot write."""
    if not 0 <= milliseconds < _YEAR_10000:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))


def short_tag(tag: str) -> str:
    """A tag as a list shows it: digests in names of attached signatures are shortened."""
    head, _, rest = tag.partition("-")
    if head not in ("sha256", "sha512") or len(rest) < 64:
        return tag
    return f"{head}-{rest[:12]}…{rest[rest.find('.') :] if '.' in rest else ''}"


def short_digest(digest: str) -> str:
    """The algorithm and twelve digits, as people compare them."""
    algorithm, _, name = digest.partition(":")
    return name[:12] if algorithm == "sha256" else f"{algorithm}:{name[:12]}"
