from __future__ import annotations

import pytest

from corten.registry.ranges import requested, sent


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes = 1 - 2", (1, 3)),
        ("bytes=10-", ""),
        ("bytes=5-1", ""),
        ("bytes=-0", ""),
        ("bytes=1-2,4-5", None),
        ("items=1-2", None),
        ("bytes=", None),
        ("bytes=x", None),
        ("bytes=" + "9" * 40 + "-", None),
    ],
)
def test_requested(header: str, found: object) -> None:
    assert requested(header, 10) == found


def test_nothing_of_nothing() -> None:
    assert requested("bytes=0-", 0) == ""
    assert requested("bytes=-5", 0) == ""


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("0-9", (0, 10)),
        ("bytes 0-9/100", (0, 10)),
        ("bytes 5-5/*", (5, 6)),
        ("5-4", None),
        ("5-", None),
        ("-5", None),
        ("0-9-10", None),
        ("", None),
        ("a-b", None),
    ],
)
def test_sent(header: str, found: object) -> None:
    assert sent(header) == found
