"""Detach keys are found across any split, and nothing else is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.launch.detach_keys import DetachScanner

KEYS = b"\x10\x11"


def feed_all(scanner, pieces):
    out = b""
    for piece in pieces:
        passed, detached = scanner.feed(piece)
        out += passed
        if detached:
            return out, True
    return out + scanner.flush(), False


@pytest.mark.parametrize(
    "pieces", [[b"ab\x10\x11cd"], [b"ab\x10", b"\x11cd"], [b"a", b"b", b"\x10", b"\x11"]]
)
def test_found_in_any_pieces(pieces):
    assert feed_all(DetachScanner(KEYS), pieces) == (b"ab", True)


def test_the_first_key_alone_is_passed_on_when_the_second_does_not_follow():
    scanner = DetachScanner(KEYS)
    assert scanner.feed(b"\x10") == (b"", False)
    assert scanner.feed(b"x") == (b"\x10x", False)


def test_no_keys_never_detach():
    assert feed_all(DetachScanner(b""), [KEYS, KEYS]) == (KEYS * 2, False)


@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("abc", max_size=5)))
def test_agrees_with_a_search(keys, pieces):
    keys, pieces = keys.encode(), [piece.encode() for piece in pieces]
    whole = b"".join(pieces)
    at = whole.find(keys)
    expected = (whole, False) if at < 0 else (whole[:at], True)
    assert feed_all(DetachScanner(keys), pieces) == expected
