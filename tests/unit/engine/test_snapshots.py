"""Which snapshotter an engine uses."""

from pathlib import Path

import pytest

from corten.engine import snapshots
from corten.engine.snapshots import configured, open_snapshotter
from corten.errors import InvalidArgument, Unsupported


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"CORTEN_CONFIG": str(tmp_path / "corten.toml")}


def write(environ: dict[str, str], text: str) -> None:
    Path(environ["CORTEN_CONFIG"]).write_text(text)


def test_nothing_is_configured(environ: dict[str, str]) -> None:
    assert configured(environ) == ""
    write(environ, "[registries]\n")
    assert configured(environ) == ""


def test_the_environment_is_stronger_than_the_file(environ: dict[str, str]) -> None:
    write(environ, '[snapshot]\ndriver = "overlay"\n')
    assert configured(environ) == "overlay"
    assert configured({**environ, "CORTEN_SNAPSHOTTER": "erofs"}) == "erofs"


@pytest.mark.parametrize(
    "text",
    [
        '[snapshot]\ndriver = "zfs"\n',
        "[snapshot]\ndriver = 1\n",
        "snapshot = 1\n",
        "[snapshot]\nx = 1\n",
        "[",
    ],
)
def test_bad_configuration(environ: dict[str, str], text: str) -> None:
    write(environ, text)
    with pytest.raises(InvalidArgument, match=r"corten\.toml"):
        configured(environ)


def test_directories_where_the_kernel_has_nothing_else(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "probe", lambda root: None)
    monkeypatch.setattr("corten.snapshot.erofs_snapshotter.probe", lambda root: None)
    assert open_snapshotter(tmp_path / "s", environ).name == "overlay"
    with pytest.raises(Unsupported, match="overlay works"):
        open_snapshotter(tmp_path / "s", {**environ, "CORTEN_SNAPSHOTTER": "erofs"})
    assert open_snapshotter(tmp_path / "s", {**environ, "CORTEN_SNAPSHOTTER": "overlay"}).name == "overlay"
