"""Compiled Python files follow their sources' times."""

from __future__ import annotations

import os
import py_compile
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from corten.build.context.model import SourceTree
from corten.build.files.bytecode import retimed, source_of
from corten.build.graph import Copy
from tests.unit.build.context.trees import plant, source
from tests.unit.build.files.layers import Maker

EPOCH = 1_700_000_000


@pytest.mark.parametrize(
    ("name", "directory", "expected"),
    [
        ("m.cpython-311.pyc", "__pycache__", ("m.py", True)),
        ("m.cpython-311.opt-1.pyc", "__pycache__", ("m.py", True)),
        ("m.pyc", "lib", ("m.py", False)),
        ("m.py", "__pycache__", None),
    ],
)
def test_where_the_source_is(name: str, directory: str, expected: tuple[str, bool] | None) -> None:
    assert source_of(name, directory) == expected


def test_only_times_that_are_the_sources_own_are_changed() -> None:
    header = struct.pack("<2s2sIII", b"\xa7\x0d", b"\r\n", 0, 1234, 5)
    assert struct.unpack("<2s2sIII", retimed(header, 1234, EPOCH))[3] == EPOCH
    assert retimed(header, 1235, EPOCH) == header
    hashed = struct.pack("<2s2sIII", b"\xa7\x0d", b"\r\n", 1, 1234, 5)
    assert retimed(hashed, 1234, EPOCH) == hashed
    assert retimed(b"no header at all", 1234, EPOCH) == b"no header at all"
    assert retimed(b"short", 1234, EPOCH) == b"short"


@pytest.fixture
def context(tmp_path: Path) -> SourceTree:
    root = plant(tmp_path / "context", {"app/m.py": "x = 1\n", "app/gone.py": "x = 1\n"})
    for path in (root / "app").glob("*.py"):
        os.utime(path, (1234, 1234))
        py_compile.compile(str(path), doraise=True)
    (root / "app/gone.py").unlink()
    return source(root)


def test_a_copied_module_needs_no_compilation(make: Maker, context: SourceTree, tmp_path: Path) -> None:
    made = make(Copy(1, "/", "/"), context, epoch=EPOCH)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-C", str(tmp_path / "out"), "-xf", str(made.directory / "layer.tar")], check=True)
    cached = next((tmp_path / "out/app/__pycache__").glob("m.*"))
    before = cached.read_bytes()
    told = subprocess.run(
        [sys.executable, "-v", "-c", "import m"],
        cwd=tmp_path / "out/app",
        env={**os.environ, "PYTHONPATH": ".", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert any("m.cpython" in line and "matches" in line for line in told.splitlines())
    assert cached.read_bytes() == before
    # Of this one the source is elsewhere.
    other = next((tmp_path / "out/app/__pycache__").glob("gone.*"))
    assert struct.unpack("<2s2sIII", other.read_bytes()[:16])[3] == 1234


def test_times_that_stay_leave_it_alone(make: Maker, context: SourceTree) -> None:
    made = make(Copy(1, "/", "/"), context, epoch=None)
    name = next(name for name in made.members if "m.cpython" in name)
    content = made.members[name].partition(" ")[2].partition(" ")[2].encode("utf-8", "surrogateescape")
    assert struct.unpack("<2s2sIII", content[:16])[3] == 1234
