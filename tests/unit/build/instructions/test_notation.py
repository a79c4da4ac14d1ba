"""Go's notations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.build.instructions.csv_fields import csv_fields
from corten.build.instructions.notation import (
    format_duration,
    parse_bool,
    parse_duration,
    parse_signed,
    parse_size,
    parse_unsigned,
)
from corten.build.instructions.suggestion import suggestion


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("+5s", 5_000_000_000),
        ("-1.5h", -5_400_000_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("3µs", 3_000),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("0.99999999999999999999s", 1_000_000_000),
        ("2562047h47m16.854775807s", (1 << 63) - 1),
        ("0" * 100 + "1s", 1_000_000_000),
    ],
)
def test_duration(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "-", "3", ".s", "1x", "1 s", "1s ", "1e3s", "2562048h", "9" * 5000 + "s"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


def test_format_duration() -> None:
    durations = [0, 15, 1_500, 1_000_000, 90_000_000_000, 3_605_000_000_000]
    assert [format_duration(n) for n in durations] == ["0s", "15ns", "1.5µs", "1ms", "1m30s", "1h0m5s"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("32", 32),
        ("32b", 32),
        ("32 B", 32),
        ("1k", 1024),
        ("1.5MiB", 3 << 19),
        ("2gb", 2 << 30),
        ("1e3", 1000),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1 ", "1  k", "1kk", "1kib2", "1bb", "1x", "1e400", "inf", "9" * 400]
)
def test_no_size(text: str) -> None:
    if text == "1 ":
        assert parse_size(text) == 1  # a space where a unit could follow is Go's
        return
    with pytest.raises(ValueError):
        parse_size(text)


def test_numbers() -> None:
    assert parse_unsigned("0755", 8) == 0o755
    assert parse_signed("-7") == -7
    assert parse_bool("T") and not parse_bool("0")
    for text in ("", "8", "-1", "+1", "1_0", "0o7", "٣", "7" * 60, "7" * 5000):
        with pytest.raises(ValueError):
            parse_unsigned(text, 8)
    for text in ("", "-", "1.0", "2147483648", "1" * 5000):
        with pytest.raises(ValueError):
            parse_signed(text)
    for text in ("yes", "tRUE", ""):
        with pytest.raises(ValueError):
            parse_bool(text)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a", ["a"]),
        ("a,b,", ["a", "b", ""]),
        (",", ["", ""]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"\r\n', ['a"b']),
    ],
)
def test_csv_fields(text: str, fields: list[str]) -> None:
    assert csv_fields(text) == fields


@pytest.mark.parametrize("text", ["", "\n", '"', '"a', '"a"b', 'a"b', '"a""'])
def test_no_csv(text: str) -> None:
    with pytest.raises(ValueError):
        csv_fields(text)


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1))
def test_csv_fields_that_are_all_quoted(fields: list[str]) -> None:
    text = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    assert csv_fields(text) == fields


def test_suggestion() -> None:
    known = ("from", "chown", "chmod", "link")
    assert suggestion("form", known) == " (did you mean from?)"
    assert suggestion("chmdo", known) == " (did you mean chmod?)"
    assert suggestion("completely", known) == ""
    assert suggestion("link", known) == ""
    assert suggestion("FORM", known) == ""
    assert suggestion("FORM", known, fold_case=True) == " (did you mean FROM?)"
