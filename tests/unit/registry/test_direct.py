from __future__ import annotations

import aiohttp
import pytest

from corten.registry.direct import TRIED, is_tried


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.9.0", True),
        ("3.14.5", True),
        ("3.11.0b1", True),
        ("3.8.6", False),
        (f"3.{TRIED[1][1] + 1}.0", False),
        ("4.0.0a1", False),
        ("dev", False),
        ("", False),
    ],
)
def test_versions_that_sockets_are_taken_from(version: str, expected: bool) -> None:
    assert is_tried(version) is expected


def test_the_installed_one_is_tried() -> None:
    """If not: run tests/system/registry_server/test_large_bodies.py with it in the range, look at how aiohttp
    holds back what it has received, then widen the range."""
    assert is_tried(aiohttp.__version__)
