"""--chmod, octal and symbolic; chmod(1) as the second opinion."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corten.build.files.mode import compile_mode
from corten.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "mode", "directory", "expected"),
    [
        ("644", 0o755, False, 0o644),
        ("4755", 0o600, False, 0o4755),
        ("0", 0o600, True, 0o000),
        ("+x", 0o644, False, 0o755),
        ("u+x", 0o644, False, 0o744),
        ("go-rwx", 0o755, False, 0o700),
        ("a=r", 0o755, False, 0o444),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("go=u", 0o640, False, 0o666),
        ("go=u-w", 0o755, False, 0o755),
        ("u+s", 0o755, False, 0o4755),
        ("g+s", 0o755, True, 0o2755),
        ("+t", 0o777, True, 0o1777),
        ("o+s", 0o755, False, 0o755),
        ("u-s", 0o4755, False, 0o755),
        ("=", 0o777, False, 0o000),
        ("g=", 0o2775, False, 0o705),
        ("u+r-w+x", 0o200, False, 0o500),
    ],
)
def test_modes(text: str, mode: int, directory: bool, expected: int) -> None:
    assert oct(compile_mode(text)(mode, directory)) == oct(expected)


@pytest.mark.parametrize(
    "text", ["", "8", "10000", "rwx", "u", "u+q", "a+x,", ",a+x", "u=rw go=r", "-1", "0o644"]
)
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"the mode .* is none"):
        compile_mode(text)


CLAUSE = st.builds(
    lambda who, op, what: who + op + what,
    st.sampled_from(["u", "g", "o", "a", "ug", "go", "uo"]),
    st.sampled_from(["+", "-", "="]),
    st.one_of(st.text("rwx", max_size=3), st.sampled_from(["u", "g", "o"])),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CLAUSE, min_size=1, max_size=3).map(",".join), st.integers(0, 0o777))
def test_chmod_agrees(tmp_path: Path, text: str, mode: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    subprocess.run(["chmod", "--", text, str(path)], check=True)
    assert oct(compile_mode(text)(mode, False)) == oct(path.stat().st_mode & 0o7777)
    os.unlink(path)
