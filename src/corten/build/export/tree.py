"""The files of a build's results themselves, as a tar: to be kept as it is, or unpacked by the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from corten.build.export.byte_stream import Write, stream_of
from corten.build.export.protocols import View
from corten.build.solve.result import Result
from corten.errors import Conflict
from corten.oci.platform import Platform
from corten.snapshot import tar_header as h
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_writer import TarWriter
from corten.snapshot.tree_packer import TreePacker


class TreeArchive:
    """`trees` are mountable. With `split` each platform's files are in a directory of its own
    (`linux_arm64/`)."""

    def __init__(
        self, view: Callable[[Result], View], trees: Sequence[tuple[Platform, Result]], *, split: bool
    ) -> None:
        self._view = view
        self._trees = tuple(trees)
        self._split = split

    def stream(self) -> AsyncIterator[bytes]:
        """The tar: sorted, no holes. Conflict when two platforms have the same file, and are not split."""
        return stream_of(self._write)

    def _write(self, write: Write) -> None:
        tar = TarWriter(write) if self._split or len(self._trees) == 1 else _OneTree(write)
        for platform, result in self._trees:
            view = self._view(result)
            try:
                packer = TreePacker(tar, holes=False)
                prefix = str(platform).replace("/", "_").encode() + b"/" if self._split else b""
                if prefix:
                    packer.root(view.fd, prefix)
                packer.contents(view.fd, prefix)
            finally:
                view.close()
        tar.finish()


class _OneTree(TarWriter):
    """Takes each file once."""

    def __init__(self, write: Write) -> None:
        super().__init__(write)
        self._seen: set[bytes] = set()

    def add(self, entry: Entry, *, align: int = 0) -> None:
        if entry.type != h.DIRECTORY and entry.name in self._seen:
            name = entry.name.decode(errors="backslashreplace")
            raise Conflict(f"cannot put the platforms into one tree: several have the file {name!r}")
        self._seen.add(entry.name)
        super().add(entry, align=align)
