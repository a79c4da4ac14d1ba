"""What is to be built: the context and the Dockerfile, from the command's argument, `--file` and stdin."""

from __future__ import annotations

import os

from corten.cli import build_specs
from corten.errors import InvalidArgument, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from corten.client.jsontext import Json

PIECE = 1 << 20
_HEAD = 512  # a tar's first header
_URLS = ("http://", "https://")
_PATIENCE = 60.0
MAX_DOCKERFILE = 8 << 20
_MAGIC = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


class Chosen:
    """`fields` of the request, and the archive that follows it (None: nothing does)."""

    __slots__ = ("archive", "fields")

    def __init__(self, fields: dict[str, Json], archive: Iterator[bytes] | None = None) -> None:
        self.fields = fields
        self.archive = archive


def choose(context: str, file: str, *, local: bool) -> Chosen:
    """`local`: the engine runs on this host, and reads a directory in place; else it is sent."""
    if context == "-" and file == "-":
        raise InvalidArgument("cannot use stdin for both the build context and the Dockerfile")
    fields: dict[str, Json] = {}
    if file.startswith(_URLS):
        path = file.partition("?")[0].partition("#")[0]  # the rest may be a token
        fields |= _text(_fetch(file), os.path.basename(path) or "Dockerfile")
        file = "-"
        if context == "-":
            return _stdin_beside(fields)
    if context == "-":
        return _stdin(file)
    if file == "-" and not fields:
        fields |= _text(_read_all(b""), "Dockerfile")
    if build_specs.is_remote(context) and not os.path.isdir(context):
        if file and file != "-":
            fields["dockerfile"] = file
        return Chosen({**fields, "context": {"type": "remote", "url": context}})
    path = os.path.abspath(context)
    if not os.path.isdir(path):
        raise InvalidArgument(
            f"the build context {context!r} is not a directory: give one, a URL, or - for an archive on stdin"
        )
    if local:
        if file != "-":
            fields["dockerfile"] = os.path.abspath(file) if file else os.path.join(path, "Dockerfile")
        return Chosen({**fields, "context": {"type": "directory", "path": path}})
    return _sent(path, file, fields)


def _sent(path: str, file: str, fields: dict[str, Json]) -> Chosen:
    """For an engine elsewhere: the directory as an archive."""
    from corten.client.files import pack

    if file and file != "-":
        where = os.path.relpath(os.path.abspath(file), path)
        if where.startswith("../"):
            try:
                with open(file, "rb") as opened:
                    fields |= _text(opened.read(MAX_DOCKERFILE), os.path.basename(file))
            except OSError as error:
                raise InvalidArgument(f"cannot read the Dockerfile {file}: {error.strerror}") from error
        else:
            fields["dockerfile"] = where
    return Chosen({**fields, "context": {"type": "upload", "is_directory": True}}, pack(path, "."))


def _stdin(file: str) -> Chosen:
    """An archive, or else the text of a Dockerfile that has no context."""
    if os.isatty(0):
        raise InvalidArgument("the build context - is an archive or a Dockerfile on stdin, not a terminal")
    head = b""
    while len(head) < _HEAD:
        piece = os.read(0, PIECE)
        if not piece:
            break
        head += piece
    if not head:
        raise InvalidArgument("the build context on stdin is empty")
    if is_archive(head):
        fields: dict[str, Json] = {"dockerfile": file} if file else {}
        return Chosen({**fields, "context": {"type": "upload"}}, _rest(head))
    return Chosen({**_text(_read_all(head), file or "Dockerfile"), "context": {"type": "empty"}})


def _stdin_beside(fields: dict[str, Json]) -> Chosen:
    """An archive on stdin; the Dockerfile came from elsewhere."""
    chosen = _stdin("")
    if chosen.archive is None:
        raise InvalidArgument("--file names a Dockerfile, so the build context on stdin has to be an archive")
    return Chosen({**chosen.fields, **fields}, chosen.archive)


def _fetch(url: str) -> bytes:
    import http.client
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_PATIENCE) as answer:
            data: bytes = answer.read(MAX_DOCKERFILE + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unavailable(f"cannot fetch the Dockerfile {url}: {error}") from error
    if len(data) > MAX_DOCKERFILE:
        raise InvalidArgument(f"the Dockerfile {url} is larger than {MAX_DOCKERFILE} bytes")
    return data


def is_archive(head: bytes) -> bool:
    """Whether these first bytes are those of a tar archive, plain or compressed."""
    if head.startswith(_MAGIC):
        return True
    if len(head) < _HEAD:
        return False
    try:
        stored = int(head[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    header = head[:148] + b" " * 8 + head[156:_HEAD]
    return sum(header) == stored


def _text(data: bytes, name: str) -> dict[str, Json]:
    import binascii

    return {"dockerfile": name, "dockerfile_text": binascii.b2a_base64(data, newline=False).decode()}


def _read_all(head: bytes) -> bytes:
    pieces, size = [head], len(head)
    while piece := os.read(0, PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_DOCKERFILE:
            raise InvalidArgument(f"the Dockerfile on stdin is larger than {MAX_DOCKERFILE} bytes")
    return b"".join(pieces)


def _rest(head: bytes) -> Iterator[bytes]:
    yield head
    while piece := os.read(0, PIECE):
        yield piece
