"""Sizes, durations and times: the words are those of docker/go-units."""

from __future__ import annotations

import time

import pytest

from corten.cli import quantity
from corten.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("42", 42),
        ("42b", 42),
        ("32k", 32 << 10),
        ("32kb", 32 << 10),
        ("32KiB", 32 << 10),
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("2T", 2 << 40),
        ("512 m", 512 << 20),
        ("-1", -1),
    ],
)
def test_bytes(text: str, expected: int) -> None:
    assert quantity.parse_bytes(text, "--memory") == expected


@pytest.mark.parametrize("text", ["", "m", "64x", "a lot", "1.2.3g", "inf", "nan", "kb"])
def test_no_bytes(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--memory"):
        quantity.parse_bytes(text, "--memory")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1s", 10**9),
        ("1m30s", 90 * 10**9),
        ("500ms", 5 * 10**8),
        ("1.5h", 5400 * 10**9),
        ("2us", 2000),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert quantity.parse_duration(text, "--x") == expected


@pytest.mark.parametrize("text", ["", "5", "1d", "s", "1s2", "-1s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(InvalidArgument):
        quantity.parse_duration(text, "--x")


@pytest.mark.parametrize(
    ("size", "digits", "expected"),
    [
        (0, 4, "0B"),
        (999, 4, "999B"),
        (1000, 4, "1kB"),
        (1234, 4, "1.234kB"),
        (77_800_000, 3, "77.8MB"),
        (1_984_000, 4, "1.984MB"),
        (999_999, 3, "1000kB"),
        (1e15, 4, "1PB"),
        (4_264_000_000, 3, "4.26GB"),
    ],
)
def test_human_sizes(size: float, digits: int, expected: str) -> None:
    assert quantity.human_size(size, digits) == expected


def test_human_binary() -> None:
    assert quantity.human_binary(0) == "0B"
    assert quantity.human_binary(464 << 10) == "464KiB"
    assert quantity.human_binary(25_278_000_000) == "23.54GiB"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3600, "About an hour"),
        (2 * 3600, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (3 * 365 * 86400, "3 years"),
    ],
)
def test_human_durations(seconds: float, expected: str) -> None:
    assert quantity.human_duration(seconds) == expected
    assert quantity.ago(1000.0, now=1000.0 + seconds) == f"{expected} ago"


def test_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quantity.parse_moment("1136073600", "--since") == "1136073600"
    assert quantity.parse_moment("10m", "--since", now=1000.0) == "400.000000000"
    assert quantity.parse_moment("2006-01-02T15:04:05Z", "--since") == "1136214245.000000000"
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert quantity.parse_moment("2006-01-02T16:04:05", "--since") == "1136214245.000000000"
        assert quantity.local_time(1136214245) == "2006-01-02 16:04:05 +0100 CET"
    finally:
        monkeypatch.undo()
        time.tzset()
    with pytest.raises(InvalidArgument, match="--since"):
        quantity.parse_moment("yesterday", "--since")


def test_timestamps() -> None:
    assert quantity.parse_timestamp("2006-01-02T15:04:05.123456789Z") == pytest.approx(1136214245.123456)
    assert quantity.parse_timestamp("0001-01-01T00:00:00Z") == 0
