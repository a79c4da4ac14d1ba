"""Archives that go to the engine or come from it, by file or pipe, with a progress bar for a person."""

from __future__ import annotations

import os
import sys

from corten.cli.streams import write_all
from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from corten.cli.session import Session
    from corten.client.transport import Query

PIECE = 1 << 20


class source:
    """A context: the bytes of a file, or of stdin for `-`, in pieces."""

    def __init__(self, path: str, title: str, *, quiet: bool = False) -> None:
        self._title = title
        self._quiet = quiet
        self._path = path
        if path == "-":
            self._fd = 0
            return
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if os.path.isdir(path):
                raise IsADirectoryError(21, "Is a directory")
        except OSError as error:
            raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error

    def __enter__(self) -> source:
        return self

    def fileno(self) -> int:
        """The open file's descriptor."""
        return self._fd

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        from corten.cli.progress import Bar

        size = os.fstat(self._fd).st_size
        with Bar(
            f"{self._title} {'' if self._path == '-' else self._path}", size or None, self._quiet
        ) as bar:
            while data := os.read(self._fd, PIECE):
                yield data
                bar.advance(len(data))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd:
            os.close(self._fd)


def download(session: Session, path: str, query: Query, output: str, title: str) -> None:
    """Streams the answer of a GET to stdout or to a file, which appears only when it is complete."""
    if not output or output == "-":
        if sys.stdout.isatty():
            raise InvalidArgument(
                "cowardly refusing to write an archive to a terminal: use -o FILE, or redirect"
            )
        answer = session.transport.request("GET", path, query=query)
        for data in answer.stream():
            write_all(1, data)
        return
    answer = session.transport.request("GET", path, query=query)
    partial = f"{output}.partial-{os.getpid()}"
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InvalidArgument(f"cannot write {output}: {error.strerror}") from error
    try:
        from corten.cli.progress import Bar

        with Bar(title, None, False) as bar:
            for data in answer.stream():
                write_all(fd, data)
                bar.advance(len(data))
        os.rename(partial, output)
    except BaseException:
        os.unlink(partial)
        raise
    finally:
        os.close(fd)


def split_tag(text: str) -> tuple[str, str]:
    """`host:5000/name:tag` in name and tag; the tag is empty when there is none."""
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, ""
    return name, tag
