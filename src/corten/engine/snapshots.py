"""Which snapshotter an engine uses: EROFS images where the kernel mounts them, else directories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from corten.errors import InvalidArgument
from corten.snapshot.erofs.support import probe
from corten.snapshot.erofs_snapshotter import ErofsSnapshotter
from corten.snapshot.overlay import OverlaySnapshotter

_DRIVERS = ("erofs", "erofs-tar", "overlay")


def open_snapshotter(root: Path, environ: Mapping[str, str] | None = None) -> OverlaySnapshotter:
    """The snapshotter of `root`: what CORTEN_SNAPSHOTTER or `[snapshot] driver` of corten.toml names, or what
    the kernel can do. InvalidArgument; Unsupported when the one that is named does not work here."""
    chosen = configured(os.environ if environ is None else environ)
    if chosen == "overlay":
        return OverlaySnapshotter(root)
    if chosen in ("erofs", "erofs-tar"):
        return ErofsSnapshotter(root, in_tar=chosen == "erofs-tar")
    root.mkdir(parents=True, exist_ok=True)
    support = probe(root)
    return OverlaySnapshotter(root) if support is None else ErofsSnapshotter(root, support=support)


def configured(environ: Mapping[str, str]) -> str:
    """One of _DRIVERS, or "" when nothing is configured. InvalidArgument."""
    if name := environ.get("CORTEN_SNAPSHOTTER"):
        return _known(name, "CORTEN_SNAPSHOTTER")
    for path in config_files(environ):
        if not path.exists():
            continue
        import tomllib

        try:
            table = tomllib.loads(path.read_text()).get("snapshot", {})
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"cannot read {path}: {error}") from error
        if not isinstance(table, dict) or set(table) - {"driver"}:
            raise InvalidArgument(f"{path}: [snapshot] is a table with the key driver")
        if "driver" in table:
            return _known(table["driver"], f"{path}: snapshot.driver")
    return ""


def _known(name: object, where: str) -> str:
    if name not in _DRIVERS:
        raise InvalidArgument(
            f"{where}: there is no snapshotter {name!r}: erofs, erofs-tar and overlay are known"
        )
    return str(name)


def config_files(environ: Mapping[str, str]) -> list[Path]:
    """The user's own before the system's."""
    if explicit := environ.get("CORTEN_CONFIG"):
        return [Path(explicit)]
    home = Path(environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    return [home / "corten/corten.toml", Path("/etc/corten/corten.toml")]
