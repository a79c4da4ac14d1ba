from __future__ import annotations

from pathlib import Path

from corten.registry.page.layers.list_file import FileEntry, Summary, write_list
from corten.registry.page.layers.merging import SHOWN, Comparison, compare


class Lists:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def add(self, *entries: FileEntry, problem: str = "") -> str:
        self._count += 1
        path = self._directory / f"{self._count}.list"
        with open(path, "wb") as file:
            ordered = sorted(entries, key=lambda entry: entry.path)
            write_list(file, ordered, Summary(count=len(ordered), problem=problem))
        return str(path)


def file(path: str, content: str = "", mode: int = 0o644) -> FileEntry:
    return FileEntry(path.encode(), "file", len(content), mode, content=content.encode() or b"-")


def entry(path: str, kind: str, link: str = "") -> FileEntry:
    return FileEntry(path.encode(), kind, link=link.encode())


def names(found: Comparison) -> tuple[list[str], list[str], list[str]]:
    added, changed, removed = (
        sorted(row.path.decode() for row in changes.rows)
        for changes in (found.added, found.changed, found.removed)
    )
    return added, changed, removed


def test_what_was_added_changed_and_removed(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    base = lists.add(file("same", "1"), file("changed", "1"), file("mode", "1"), file("gone", "1234"))
    after = lists.add(
        file("changed", "22"),
        file("mode", "1", 0o755),
        entry("gone", "removed"),
        file("new/deep/file", "333"),
    )
    found = compare([base], [base, after], 100)
    assert names(found) == (["new/deep/file"], ["changed", "mode"], ["gone"])
    assert (found.added.after, found.removed.before) == (3, 4)
    assert [row.what for row in found.changed.rows] == ["content", "mode 0644 → 0755"]


def test_the_same_files_in_other_layers_are_the_same(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    one = lists.add(file("a", "1"), file("b", "2"))
    two = [lists.add(file("a", "old"), entry("b", "link", "a")), lists.add(file("a", "1"), file("b", "2"))]
    assert compare([one], two, 100) == Comparison()


def test_a_whiteout_takes_away_what_is_below_it_and_not_what_stands_in_its_own_layer(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    base = lists.add(entry("d", "dir"), file("d/x/1", "1"), file("d/x/2", "2"), file("d/y", "3"))
    removed = lists.add(entry("d/x", "removed"))
    emptied = lists.add(entry("d", "opaque"), entry("d", "dir"), file("d/new", "4"))
    assert names(compare([base], [base, removed], 100)) == ([], [], ["d/x/1", "d/x/2"])
    assert names(compare([base], [base, emptied], 100)) == (["d/new"], [], ["d/x/1", "d/x/2", "d/y"])


def test_a_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    base = lists.add(entry("d", "dir"), file("d/x", "1"))
    over = lists.add(file("d", "2"))
    found = compare([base], [base, over], 100)
    assert names(found) == ([], ["d"], ["d/x"])
    assert found.changed.rows[0].what.startswith("dir → file")


def test_empty_directories_are_told_and_full_ones_by_what_they_hold(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    one = lists.add(file("a", "1"))
    two = lists.add(file("a", "1"), entry("empty", "dir"), entry("full", "dir"), file("full/x", "1"))
    assert names(compare([one], [two], 100)) == (["empty", "full/x"], [], [])


def test_links_and_owners(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    one = lists.add(entry("l", "link", "a"), file("o", "1"))
    two = lists.add(entry("l", "link", "b"), FileEntry(b"o", "file", 1, 0o644, 5, 6, content=b"1"))
    assert sorted(row.what for row in compare([one], [two], 100).changed.rows) == ["link", "owner 0:0 → 5:6"]


def test_only_the_largest_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    many = lists.add(*(file(f"f{number:04}", "x" * number) for number in range(SHOWN + 20)))
    found = compare([], [many], 10_000).added
    assert (found.count, len(found.rows)) == (SHOWN + 20, SHOWN)
    assert found.rows[0].after == SHOWN + 19


def test_too_many_files_and_lists_that_are_not_whole_are_told(tmp_path: Path) -> None:
    lists = Lists(tmp_path)
    one = lists.add(*(file(f"{number}") for number in range(10)))
    assert "more than 15" in compare([one], [one], 15).problem
    assert compare([one], [one], 20).problem == ""
    cut = lists.add(file("a"), problem="only its first 1 files are listed")
    assert compare([one, cut], [one], 100).problem == "only its first 1 files are listed"
