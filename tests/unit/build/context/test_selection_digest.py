"""The content key of a copy: the same for the same content, another for any change that can be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corten.build.context import ahead, contents
from corten.build.context.manifest import Difference, differences
from corten.build.context.selection_digest import digest_selection
from corten.build.context.stat_cache import StatCache
from corten.build.graph import Copy
from corten.errors import Conflict, Denied
from tests.unit.build.context.trees import plant, source

TREE = {
    "f": "one",
    "dir/g": "two",
    "dir/exec": ("three", 0o755),
    "dir/link": "-> g",
    "dir/deep/er/h": b"\0" * 5000,
    "empty/": 0o755,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path / "tree", TREE)


def digest(root: Path, path: str = "/", *, owners: bool = False, **fields: Any) -> str:
    return digest_selection(source(root, keep_owners=owners), Copy(1, path, "/", **fields)).digest


def test_a_copy_of_the_tree_has_the_same(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy", symlinks=True)
    assert digest(tmp_path / "copy") == digest(root)


def test_times_do_not_count(root: Path) -> None:
    before = digest(root)
    for path in [root, *root.rglob("*")]:
        os.utime(path, (1, 2), follow_symlinks=False)
    assert digest(root) == before


def test_the_order_of_the_directory_does_not_count(root: Path, tmp_path: Path) -> None:
    again = plant(tmp_path / "again", dict(reversed(TREE.items())))
    assert digest(again) == digest(root)


def _set_attribute(path: Path) -> None:
    try:
        os.setxattr(path, "user.note", b"x")
    except OSError:
        pytest.skip("this file system has no user attributes")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "f").write_text("One"),
    "longer": lambda root: (root / "f").write_text("one "),
    "mode of a file": lambda root: (root / "f").chmod(0o600),
    "set-user-id": lambda root: (root / "f").chmod(0o4644),
    "mode of a directory": lambda root: (root / "dir").chmod(0o700),
    "name of a file": lambda root: (root / "f").rename(root / "F"),
    "name of a directory": lambda root: (root / "dir").rename(root / "dir2"),
    "new file": lambda root: (root / "dir/new").touch(),
    "new empty directory": lambda root: (root / "empty/more").mkdir(),
    "file gone": lambda root: (root / "dir/g").unlink(),
    "empty directory gone": lambda root: (root / "empty").rmdir(),
    "target of a link": lambda root: ((root / "dir/link").unlink(), (root / "dir/link").symlink_to("exec")),
    "a link becomes a file": lambda root: ((root / "dir/link").unlink(), (root / "dir/link").write_text("g")),
    "a file becomes a pipe": lambda root: ((root / "f").unlink(), os.mkfifo(root / "f", 0o644)),
    "two files change places": lambda root: (
        (root / "f").rename(root / "t"),
        (root / "dir/g").rename(root / "f"),
        (root / "t").rename(root / "dir/g"),
    ),
    "moved into a directory": lambda root: (root / "f").rename(root / "dir/f"),
    "attribute of a file": lambda root: _set_attribute(root / "f"),
    "attribute of a directory": lambda root: _set_attribute(root / "dir"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_counts(root: Path, change: str) -> None:
    (root / "f").chmod(0o644)
    before = digest(root)
    CHANGES[change](root)
    assert digest(root) != before


def test_a_hard_link_is_not_a_copy(root: Path) -> None:
    (root / "f2").hardlink_to(root / "f")
    linked = digest(root)
    (root / "f2").unlink()
    shutil.copy2(root / "f", root / "f2")
    assert digest(root) != linked


def test_what_is_not_selected_does_not_count(root: Path) -> None:
    before = digest(root, "dir"), digest(root, "/", exclude=("f",)), digest(root, "/", include=("dir",))
    (root / "f").write_text("changed")
    (root / "more").touch()
    assert (digest(root, "dir"), digest(root, "/", include=("dir",))) == (before[0], before[2])
    (root / "more").unlink()
    assert digest(root, "/", exclude=("f",)) == before[1]


def test_the_copied_directory_itself_does_not_count(root: Path) -> None:
    before = digest(root, "dir"), digest(root, "dir", contents_of_directory=False)
    (root / "dir").chmod(0o700)
    assert digest(root, "dir") == before[0]
    assert digest(root, "dir", contents_of_directory=False) != before[1]


def test_one_file_and_a_directory_with_it_differ(tmp_path: Path) -> None:
    plant(tmp_path, {"x": "1", "dir/x": "1"})
    assert digest(tmp_path, "x") != digest(tmp_path, "dir")


def test_several_matches_keep_their_borders(tmp_path: Path) -> None:
    one = plant(tmp_path / "1", {"a1/x": "1", "a2/y": "2"})
    other = plant(tmp_path / "2", {"a1/x": "1", "a1/y": "2", "a2/": 0o755})
    assert digest(one, "a*") != digest(other, "a*")


@pytest.mark.root
def test_owners_count_only_where_they_are_kept(root: Path) -> None:
    before = digest(root), digest(root, owners=True)
    os.chown(root / "f", 5, 6)
    assert digest(root) == before[0]
    assert digest(root, owners=True) != before[1]


# -- anything

NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: not set(name) & {0, 47} and name not in (b".", b"..")
)
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=20), min_size=1, max_size=6
)


def build(root: bytes, files: dict[tuple[bytes, ...], bytes], order: list[int]) -> None:
    """What is no name because a file is in the way is left out, as it is whatever the order."""
    taken = {path for path in files if not any(path[:end] in files for end in range(1, len(path)))}
    items = sorted((path, files[path]) for path in taken)
    for position in sorted(range(len(items)), key=lambda n: order[n % len(order)] if order else n):
        path, data = items[position]
        os.makedirs(os.path.join(root, *path[:-1]), exist_ok=True)
        with open(os.path.join(root, *path), "wb") as file:
            file.write(data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FILES, st.permutations(range(6)), st.data())
def test_the_digest_is_that_of_the_content(
    files: dict[tuple[bytes, ...], bytes], order: list[int], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        one, two = os.path.join(directory, "1").encode(), os.path.join(directory, "2").encode()
        build(one, files, [])
        build(two, files, order)
        first = digest(Path(os.fsdecode(one)))
        assert digest(Path(os.fsdecode(two))) == first

        base, _, names = data.draw(st.sampled_from([found for found in os.walk(two) if found[2]]))
        victim = os.path.join(base, data.draw(st.sampled_from(names)))
        with open(victim, "ab") as file:
            file.write(data.draw(st.binary(min_size=1, max_size=3)))
        assert digest(Path(os.fsdecode(two))) != first


# -- what is known is not read again


@pytest.fixture
def settled(root: Path) -> Path:
    """Its files changed long enough ago to be noted."""
    time.sleep(1.1)
    return root


def test_an_unchanged_context_is_not_opened(
    settled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = StatCache(tmp_path / "cache")
    first = digest_selection(source(settled, contents=cache), Copy(1, "/", "/"))
    cache.save()

    opened: list[str] = []
    real = ahead.open_file

    def open_file(directory: int, name: str) -> int:
        opened.append(name)
        return real(directory, name)

    monkeypatch.setattr(ahead, "open_file", open_file)
    again = StatCache(tmp_path / "cache")
    assert digest_selection(source(settled, contents=again), Copy(1, "/", "/")) == first
    assert opened == []
    (settled / "f").write_text("One")
    assert digest_selection(source(settled, contents=again), Copy(1, "/", "/")) != first
    assert opened == ["f"]


def test_a_changed_file_is_read_whatever_its_time(settled: Path, tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "cache")
    tree = source(settled, contents=cache)
    first = digest_selection(tree, Copy(1, "f", "/"))
    times = (settled / "f").stat()
    (settled / "f").write_text("eno")
    os.utime(settled / "f", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest_selection(tree, Copy(1, "f", "/")) != first


def test_many_and_large_files(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").write_bytes(b"%d" % number)
    for number in range(3):
        with open(tmp_path / f"large{number}", "wb") as file:
            file.truncate(5_000_000)
            file.write(b"%d" % number)
    selection = digest_selection(source(tmp_path), Copy(1, "/", "/"))
    assert (selection.files, selection.size) == (303, 15_000_000 + 10 + 2 * 90 + 3 * 200)


# -- what changes meanwhile


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Lets something happen when the first piece of a file has been read."""

    def install(happen: Callable[[], object]) -> None:
        real = os.read
        done = []

        def read(fd: int, size: int) -> bytes:
            piece = real(fd, size)
            if not done:
                done.append(True)
                happen()
            return piece

        monkeypatch.setattr(contents.os, "read", read)

    yield install


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("change", ["append", "truncate", "overwrite", "chmod"])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, meddle: Callable[[Callable[[], object]], None], size: int, change: str
) -> None:
    path = tmp_path / "victim"
    path.write_bytes(b"x" * size)
    os.utime(path, (1, 1))

    def happen() -> None:
        if change == "append":
            with path.open("ab") as file:
                file.write(b"y")
        elif change == "truncate":
            os.truncate(path, 1)
        elif change == "overwrite":
            with path.open("r+b") as file:
                file.write(b"y")
        else:
            path.chmod(0o600)

    meddle(happen)
    with pytest.raises(Conflict, match="'victim' in the build context changed while it was read"):
        digest(tmp_path)


def test_a_file_that_is_replaced_by_a_pipe_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "victim"
    path.write_text("x")
    real = ahead.open_file

    def open_file(directory: int, name: str) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(directory, name)

    monkeypatch.setattr(ahead, "open_file", open_file)
    with pytest.raises(Conflict, match="'victim'"):
        digest(tmp_path)


def test_a_file_that_vanishes_or_becomes_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "victim"
    real = ahead.open_file
    for replace in (path.unlink, lambda: (path.unlink(), path.symlink_to("/etc/passwd"))):
        path.unlink(missing_ok=True)
        path.write_text("x")

        def open_file(directory: int, name: str, replace: Callable[[], object] = replace) -> int:
            replace()
            return real(directory, name)

        monkeypatch.setattr(ahead, "open_file", open_file)
        with pytest.raises(Conflict, match="'victim'"):
            digest(tmp_path)


@pytest.mark.rootless
def test_what_may_not_be_read_is_named(root: Path) -> None:
    (root / "dir/g").chmod(0o000)
    with pytest.raises(Denied, match="cannot read 'dir/g' in the build context: permission denied"):
        digest(root)


# -- what differs


def test_differences_are_told_by_file(root: Path) -> None:
    before = digest_selection(source(root), Copy(1, "/", "/")).manifest
    assert list(differences(before, before)) == []
    (root / "f").write_text("changed")
    (root / "dir/g").chmod(0o600)
    (root / "dir/exec").unlink()
    (root / "dir/new\nline").touch()
    (root / "dir/link").unlink()
    (root / "dir/link").mkdir()
    after = digest_selection(source(root), Copy(1, "/", "/")).manifest
    assert list(differences(before, after)) == [
        Difference("dir/exec", "removed"),
        Difference("dir/g", "mode"),
        Difference("dir/link", "type"),
        Difference("dir/new\nline", "added"),
        Difference("f", "content"),
    ]


@pytest.mark.root
def test_a_difference_of_owners(root: Path) -> None:
    tree = source(root, keep_owners=True)
    before = digest_selection(tree, Copy(1, "/", "/")).manifest
    os.chown(root / "f", 5, 6)
    after = digest_selection(tree, Copy(1, "/", "/")).manifest
    assert list(differences(before, after)) == [Difference("f", "owner")]


def test_the_digest_is_that_of_the_manifest(root: Path) -> None:
    selection = digest_selection(source(root), Copy(1, "/", "/"))
    said = subprocess.run(["sha256sum"], input=selection.manifest, capture_output=True, check=True).stdout
    assert selection.digest == "sha256:" + said.split()[0].decode()
