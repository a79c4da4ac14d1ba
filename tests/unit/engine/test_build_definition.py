"""Finding the Dockerfile and its .dockerignore; what is hostile about them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from corten.engine import build_definition
from corten.engine.build_definition import read_definition, read_ignore_file
from corten.errors import CortenError, InvalidArgument, NotFound


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    (path / "sub").mkdir(parents=True)
    (path / "Dockerfile").write_text("FROM scratch\n")
    (path / "sub/Other").write_text("FROM other\n")
    (path / ".dockerignore").write_text("# no\nnode_modules\n\n!keep \n")
    return path


@pytest.fixture
def root(context: Path) -> Iterator[int]:
    fd = os.open(context, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_inside_the_context(context: Path, root: int) -> None:
    found = read_definition("", root)
    assert (found.name, found.data, found.ignore) == (
        "Dockerfile",
        b"FROM scratch\n",
        ("node_modules", "!keep"),
    )
    found = read_definition("sub/Other", root)
    assert (found.name, found.data) == ("Other", b"FROM other\n")
    (context / "sub/Other.dockerignore").write_text("only\n")
    assert read_definition("sub/Other", root).ignore == ("only",)
    (context / "sub/Other.dockerignore").write_text("")
    assert read_definition("sub/Other", root).ignore == ()


def test_an_absolute_path(context: Path, root: int, tmp_path: Path) -> None:
    outside = tmp_path / "Elsewhere"
    outside.write_text("FROM elsewhere\n")
    found = read_definition(str(outside), root)
    assert (found.data, found.ignore) == (b"FROM elsewhere\n", ("node_modules", "!keep"))
    Path(f"{outside}.dockerignore").write_text("mine\n")
    assert read_definition(str(outside), root).ignore == ("mine",)


def test_text_in_the_request(root: int) -> None:
    found = read_definition("Dockerfile", root, text=b"FROM x", ignore=b"a\n")
    assert (found.data, found.ignore) == (b"FROM x", ("a",))
    assert read_definition("", None, text=b"FROM x").ignore == ()


def test_lower_case_as_a_last_resort(context: Path, root: int) -> None:
    (context / "Dockerfile").rename(context / "dockerfile")
    assert read_definition("", root).data == b"FROM scratch\n"


def test_named_contexts(context: Path, tmp_path: Path) -> None:
    assert read_ignore_file(context) == ("node_modules", "!keep")
    assert read_ignore_file(tmp_path) == ()


def test_what_is_not_there(root: int) -> None:
    for path in ("nothing", "sub/nothing", "Dockerfile/x"):
        with pytest.raises(NotFound, match=f"there is no {path} in the build context"):
            read_definition(path, root)
    with pytest.raises(NotFound, match="there is no /nowhere/Dockerfile; --file names another"):
        read_definition("/nowhere/Dockerfile", root)
    with pytest.raises(InvalidArgument, match="neither a build context nor a Dockerfile"):
        read_definition("", None)


def test_no_link_leads_out_of_a_context_that_came_from_elsewhere(
    context: Path, root: int, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret")
    (context / "up").symlink_to("../secret")
    (context / "abs").symlink_to(tmp_path / "secret")
    (context / "good").symlink_to("/sub/Other")
    for path in ("up", "abs", "../secret"):
        with pytest.raises(NotFound):
            read_definition(path, root)
    assert read_definition("good", root).data == b"FROM other\n"


def test_what_is_no_file(context: Path, root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(context / "pipe")
    for path in ("pipe", "sub", "/dev/zero"):
        with pytest.raises(InvalidArgument, match="not a regular file"):
            read_definition(path, root)
    monkeypatch.setattr(build_definition, "MAX_BYTES", 5)
    with pytest.raises(InvalidArgument, match="13 bytes: at most 5"):
        read_definition("", root)


def test_one_that_cannot_be_read(context: Path, root: int) -> None:
    (context / "loop").symlink_to("loop")
    with pytest.raises(CortenError, match="cannot read loop: Too many levels"):
        read_definition("loop", root)
