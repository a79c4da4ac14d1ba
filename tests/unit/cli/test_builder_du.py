"""`builder du --filter`: which entries are shown."""

from __future__ import annotations

import pytest

from corten.cli.command.builder_du import run
from corten.cli.options import Arguments
from corten.errors import InvalidArgument

ITEMS = [
    {"ID": "abc", "Type": "regular", "Size": 1, "Description": "RUN make", "Shared": True},
    {"ID": "def", "Type": "regular", "Size": 2, "Description": "COPY . .", "Parents": ["abc"]},
    {"ID": "ghi", "Type": "exec.cachemount", "Size": 3, "Description": "cache", "InUse": True},
]


class Session:
    """The engine's answer."""

    def get(self, path: str, query: dict[str, str]) -> dict[str, object]:
        assert (path, query) == ("/system/df", {"type": "build-cache"})
        return {"BuildCache": ITEMS}


def shown(*filters: str, capsys: pytest.CaptureFixture[str]) -> str:
    run(Session(), Arguments({"filter": list(filters), "format": "{{.ID}}"}, []))  # type: ignore[arg-type]
    return " ".join(sorted(capsys.readouterr().out.split()))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), "abc def ghi"),
        (("id=b",), "abc"),
        (("parent=ab",), "def"),
        (("parents=x",), ""),
        (("type=regular",), "abc def"),
        (("type=reg",), ""),
        (("description=make",), "abc"),
        (("inuse=true",), "ghi"),
        (("inuse=0",), "abc def"),
        (("shared=1",), "abc"),
        (("private=true",), "def ghi"),
        (("mutable=true",), "ghi"),
        (("immutable=true", "private=true"), "def"),
    ],
)
def test_filters(filters: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(*filters, capsys=capsys) == expected


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidArgument, match="write it as KEY=VALUE"):
        shown("size=1", capsys=capsys)
    with pytest.raises(InvalidArgument, match="either true or false"):
        shown("shared=maybe", capsys=capsys)
