"""Base images made on the spot from the distribution's own packages, where nothing can be pulled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from corten.errors import InvalidArgument
from corten.image import busybox_image, debian_image
from corten.image.model import Loaded, Progress, Report, silent
from corten.image.store import ImageStore
from corten.oci.reference import Reference

KINDS = ("busybox", "debian")
_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def bootstrap(
    store: ImageStore,
    what: str,
    *,
    suite: str = "",
    include: Sequence[str] = (),
    name: str = "",
    report: Report = silent,
) -> Loaded:
    """Makes `busybox` (package busybox-static) or `debian` (mmdebstrap, minbase).

    `name` replaces the usual names (busybox:latest; debian:SUITE and debian:latest). Slow. Unsupported says
    what is missing on this host and the command that mends it.
    """
    if what not in KINDS:
        raise InvalidArgument(f"cannot bootstrap {what!r}: expected {' or '.join(KINDS)}")
    if name:
        Reference.parse(name)  # a wrong name is told at once, not after a minute of work
    if what == "busybox":
        if suite or include:
            raise InvalidArgument("a suite and packages to include can be chosen for debian only")
        return _busybox(store, name, report)
    return _debian(store, suite or host_suite(), include, name, report)


def _busybox(store: ImageStore, name: str, report: Report) -> Loaded:
    binary, mtime_ns = busybox_image.find_binary(report)
    report(Progress("Making the busybox image"))
    mtime_ns -= mtime_ns % 1_000_000_000
    loaded = store.import_(
        _Pieces(b"".join(busybox_image.root_file_system(binary, mtime_ns))),
        names=[name or "busybox:latest"],
        message=f"made by corten image bootstrap busybox from package {busybox_image.PACKAGE}",
        changes=['CMD ["sh"]', _PATH, _label("title", "busybox"), "LABEL dev.corten.bootstrap=busybox"],
        created=mtime_ns,
        report=report,
    )
    return _told(loaded, report)


def _debian(store: ImageStore, suite: str, include: Sequence[str], name: str, report: Report) -> Loaded:
    names = [name] if name else [f"debian:{suite}", "debian:latest"]
    with debian_image.debootstrap(suite, include, report) as process:
        loaded = store.import_(
            process,
            names=names,
            message=f"made by corten image bootstrap debian by mmdebstrap from {suite}",
            changes=[
                'CMD ["bash"]',
                _PATH,
                _label("title", "debian"),
                f"LABEL dev.corten.bootstrap=debian:{suite}",
            ],
            created=debian_image.epoch() * 1_000_000_000,
            report=report,
        )
    return _told(loaded, report)


def host_suite() -> str:
    """The codename of a Debian host, or the stable suite that this version of Corten knows."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return debian_image.DEFAULT_SUITE
    values = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
    if values.get("ID") == "debian" and values.get("VERSION_CODENAME"):
        return values["VERSION_CODENAME"]
    return debian_image.DEFAULT_SUITE


def _label(key: str, value: str) -> str:
    return f"LABEL org.opencontainers.image.{key}={value}"


def _told(loaded: Loaded, report: Report) -> Loaded:
    report(Progress(f"Made {', '.join(loaded.names)} ({loaded.id[7:19]})"))
    return loaded


class _Pieces:
    """Bytes to `read`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, size: int, /) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return bytes(piece)
