"""JSON without the json package: the same values, byte for byte where it matters."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.client import jsontext

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_it_writes_what_json_writes(value: object) -> None:
    assert jsontext.dumps(value) == json.dumps(value, separators=(",", ":")).encode()


@given(VALUES, st.booleans())
def test_it_reads_what_json_writes(value: object, indent: bool) -> None:
    text = json.dumps(value, indent=2 if indent else None, ensure_ascii=indent)
    assert jsontext.loads(text) == json.loads(text)
    assert jsontext.loads(f"  {text}\r\n".encode()) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", '{"a":', "nope", "[1,]", "1 2", "{'a': 1}"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


def test_what_has_no_form_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="bytes"):
        jsontext.dumps({"a": b"x"})


@given(st.lists(VALUES, max_size=5), st.lists(st.integers(0), max_size=5), st.booleans())
def test_a_stream_of_values(values: list[object], places: list[int], newline_at_end: bool) -> None:
    data = b"\r\n".join(jsontext.dumps(value) for value in values) + (b"\r\n" if newline_at_end else b"")
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    decoder = jsontext.LineDecoder()
    seen = [value for start, end in itertools.pairwise(edges) for value in decoder.feed(data[start:end])]
    assert seen + decoder.finish() == values
