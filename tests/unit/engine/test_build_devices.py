"""Which devices a CDI name means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corten.engine.build_devices import CLASS, find_devices
from corten.errors import InvalidArgument

KIND = "example.com/gpu"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    def device(name: str, **more: object) -> dict[str, object]:
        return {"name": name, "containerEdits": {"env": [f"GPU_{name}=1"]}, **more}

    small, big = {CLASS: "small"}, {CLASS: "big"}
    devices = [device("a", annotations=small), device("b"), device("c", annotations=small)]
    spec = {"kind": KIND, "annotations": big, "containerEdits": {"env": ["ALL=1"]}, "devices": devices}
    (tmp_path / "gpu.json").write_text(json.dumps(spec))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ("ALL=1", "GPU_a=1")),
        ("=b", ("ALL=1", "GPU_b=1")),
        ("=*", ("ALL=1", "GPU_a=1", "GPU_b=1", "GPU_c=1")),
        ("=small", ("ALL=1", "GPU_a=1", "GPU_c=1")),
        ("=big", ("ALL=1", "GPU_b=1")),
    ],
)
def test_names(directory: Path, name: str, expected: tuple[str, ...]) -> None:
    edits, missing = find_devices([(KIND + name, True)], [directory])
    assert edits.environment == expected and missing == []


def test_the_later_directory_counts(directory: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.mkdir()
    devices = [{"name": "b", "containerEdits": {"env": ["GPU_b=2"]}}]
    (later / "own.json").write_text(json.dumps({"kind": KIND, "devices": devices}))
    assert find_devices([(f"{KIND}=b", True)], [directory, later])[0].environment == ("GPU_b=2",)
    assert find_devices([(f"{KIND}=none", False)], [directory, later])[1] == [f"{KIND}=none"]


@pytest.mark.parametrize(
    ("devices", "where"),
    [
        (["x"], r"devices\[0\]"),
        ([{"containerEdits": {}}], "`name`"),
        ([{"name": "a", "containerEdits": {"deviceNodes": [{"hostPath": "/dev/null"}]}}], "`path`"),
        ([{"name": "a", "containerEdits": {"env": "A=1"}}], "env"),
        (3, "devices"),
    ],
)
def test_a_specification_that_is_none(tmp_path: Path, devices: object, where: str) -> None:
    (tmp_path / "own.json").write_text(json.dumps({"kind": KIND, "devices": devices}))
    with pytest.raises(InvalidArgument, match=rf"cannot read the device specification .*own\.json.*{where}"):
        find_devices([(KIND, True)], [tmp_path])
