"""Values in the form of Go's fmt."""

from __future__ import annotations

import pytest

from corten.build.plan.go_values import duration, plain_list, quoted_list


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (60 * 10**9, "1m0s"),
        (245 * 10**9, "4m5s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (480_000_000_001, "8m0.000000001s"),
        (-1_500_000_000, "-1.5s"),
        ((1 << 63) - 1, "2562047h47m16.854775807s"),
    ],
)
def test_duration(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


def test_lists() -> None:
    assert quoted_list(["a b", 'c"\n', "\u00e9\u200b"]) == '["a b" "c\\"\\n" "\u00e9\\u200b"]'
    assert plain_list(["a b", "c"]) == "[a b c]"
    assert (quoted_list([]), plain_list([])) == ("[]", "[]")
