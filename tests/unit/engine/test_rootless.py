"""The user namespace of an ordinary user: ranges, maps, sentences (entering it: tests/system/rootless)."""

import os
from pathlib import Path

import pytest

from corten.engine import delegation, rootless


def test_root_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert rootless.enter_if_needed() is None


def test_ranges_follow_the_users_own_id() -> None:
    ranges = [rootless.IdRange(100000, 65536), rootless.IdRange(300000, 1000)]
    text = " ".join(rootless.mapping(1000, ranges))
    assert text == "0 1000 1 1 100000 65536 65537 300000 1000"


def test_ranges_are_found_by_name_and_by_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "alice:100000:65536\n1000:200000:10\nbob:300000:65536\nbroken\nalice:x:1\nalice:1:0\n"
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: text)
    found = rootless.ranges_of("uid", 1000, "alice")
    assert found == [rootless.IdRange(100000, 65536), rootless.IdRange(200000, 10)]


def test_no_file_means_no_range(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rootless.ranges_of("nothing", 1000, "alice") == []


@pytest.mark.parametrize(
    ("switch", "value", "words"),
    [
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "60-corten.conf"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=65536"),
        ("/nowhere", "", "run corten as root"),
    ],
)
def test_the_sentence_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, switch: str, value: str, words: str
) -> None:
    monkeypatch.setattr(rootless, "read_switch", lambda path: value if path == switch else "")
    sentence = rootless._why_not(PermissionError(1, "Operation not permitted"))
    assert sentence.startswith("cannot make a user namespace for an ordinary user: ")
    assert words in sentence


def test_a_namespace_is_found_again_by_its_numbers(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    assert rootless._living_namespace(memory, os.geteuid()) is None
    rootless._remember(memory)
    found = rootless._living_namespace(memory, os.geteuid())
    assert found is not None
    assert rootless._namespaces(str(found)) == memory.read_text().split()
    memory.write_text("1 2\n")
    assert rootless._living_namespace(memory, os.geteuid()) is None


def test_nothing_is_delegated_where_v2_is_not_the_only_layout(tmp_path: Path) -> None:
    assert delegation.own_cgroup(tmp_path) is None
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    own = delegation.own_cgroup(tmp_path)
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    expected = next((tmp_path / line[4:] for line in lines if line.startswith("0::")), None)
    assert own == expected
