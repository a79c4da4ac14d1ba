"""Modes that are accepted are those that can be applied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corten.build.files.mode import compile_mode
from corten.build.plan.owners import parse_mode
from corten.errors import InvalidArgument


@given(st.text("ugoarwxXst+-=,01289 ", max_size=12))
def test_modes(text: str) -> None:
    try:
        mode = parse_mode(text)
    except InvalidArgument:
        mode = None
    try:
        change = compile_mode(text)
    except InvalidArgument:
        change = None
    assert (mode is None) == (change is None)
    if mode is not None and change is not None:
        assert all(
            compile_mode(mode)(before, False) == change(before, False) for before in (0, 0o644, 0o7777)
        )
