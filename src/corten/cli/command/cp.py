"""corten cp: files between a container and the host, in both directions, with the rules of `docker cp`."""

from __future__ import annotations

import os
import sys

from corten.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten cp [OPTIONS] CONTAINER:PATH PATH|-   or   corten cp [OPTIONS] PATH|- CONTAINER:PATH"
DETAIL = """\
A directory is copied into one that exists; 'DIRECTORY/.' copies its contents. '-' is a tar archive on stdin
or
stdout."""
EXAMPLES = (
    "corten cp web:/etc/hosts .",
    "corten cp -a site/. web:/www",
    "corten cp web:/var/log - | tar -t",
)
ARGS = (2, 2)
OPTIONS = (
    ("archive", "a", "bool", "", "Keep user and group"),
    ("follow-link", "L", "bool", "", "Copy what a symbolic link points to"),
    ("quiet", "q", "bool", "", "Do not tell what was copied"),
)
_MODE_DIRECTORY = 1 << 31  # Go's os.ModeDir and os.ModeSymlink
_MODE_SYMLINK = 1 << 27


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    source, target = (_split(text) for text in arguments.rest)
    if source[0] and target[0]:
        raise InvalidArgument("copying between containers is not supported")
    if not source[0] and not target[0]:
        raise InvalidArgument("must specify at least one container source: write it as CONTAINER:PATH")
    if source[0]:
        size = _from_container(session, arguments, source[0], source[1], target[1])
    else:
        size = _to_container(session, arguments, source[1], target[0], target[1])
    if size is not None and not arguments.on("quiet") and sys.stderr.isatty():
        from corten.cli.quantity import human_size

        print(f"Successfully copied {human_size(size, 3)} to {arguments.rest[1]}", file=sys.stderr)
    return 0


def _split(text: str) -> tuple[str, str]:
    """(container, path); no container for a path of the host (absolute, or ./ before a colon)."""
    if text.startswith(("/", ".")) or ":" not in text:
        return "", text
    container, _, path = text.partition(":")
    return container, path


def _stat(session: Session, container: str, path: str) -> Json | None:
    """What is at a path in the container: name, size, mode, linkTarget; None when nothing is there."""
    import base64

    from corten.client import jsontext

    answer = session.transport.request(
        "HEAD", f"/containers/{container}/archive", query={"path": path}, check=False
    )
    if answer.status == 404:
        session.get(f"/containers/{container}/json")  # is it the container that is missing?
        return None
    if answer.status >= 400:  # HEAD has no body: GET tells why
        session.transport.request("GET", f"/containers/{container}/archive", query={"path": path}).close()
    return jsontext.loads(base64.b64decode(answer.headers["x-docker-container-path-stat"]))


def _is_directory(found: Json | None) -> bool:
    return found is not None and bool(found["mode"] & _MODE_DIRECTORY)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _from_container(
    session: Session, arguments: Arguments, container: str, path: str, target: str
) -> int | None:
    path = _absolute(path)
    found = _stat(session, container, path)
    if found is None:
        raise NotFound(f"could not find the file {path} in the container {container}")
    if arguments.on("follow-link") and found["mode"] & _MODE_SYMLINK:
        link = str(found.get("linkTarget") or path)
        path = os.path.normpath(os.path.join(os.path.dirname(path), link)) if link != path else path
        found = _stat(session, container, path)
        if found is None:
            raise NotFound(f"could not find the file {path} in the container {container}")
    if target == "-":
        from corten.cli.transfer import download

        download(session, f"/containers/{container}/archive", {"path": path}, "-", "copying")
        return None
    directory, new_name = _host_target(path, _is_directory(found), target)
    from corten.client import files

    answer = session.transport.request("GET", f"/containers/{container}/archive", query={"path": path})
    return files.unpack(answer.stream(), directory, _renamer(new_name), keep_owner=arguments.on("archive"))


def _renamer(new_name: str | None):  # type: ignore[no-untyped-def]
    """Members are called after the source; the first component becomes the target's name (or nothing)."""

    def rename(name: str) -> str:
        if new_name is None:
            return name
        _first, _, rest = name.strip("/").partition("/")
        return f"{new_name}/{rest}" if rest else new_name

    return rename


def _host_target(path: str, is_directory: bool, target: str) -> tuple[str, str | None]:
    """(directory to unpack in, name that the source gets there)."""
    contents = path.endswith("/.") or path == "/"
    if os.path.isdir(target):
        return target, "." if is_directory and contents else None
    parent, name = os.path.split(target.rstrip("/"))
    if os.path.lexists(target) and is_directory:
        raise InvalidArgument(f"cannot copy a directory to the file {target}")
    if not is_directory and target.endswith("/"):
        raise NotFound(f"the directory {target} does not exist")
    if not os.path.isdir(parent or "."):
        raise NotFound(f"the directory {parent} does not exist")
    return parent or ".", name


def _to_container(
    session: Session, arguments: Arguments, source: str, container: str, path: str
) -> int | None:
    path = _absolute(path)
    found = _stat(session, container, path)
    if (
        found is not None and found["mode"] & _MODE_SYMLINK
    ):  # the engine resolves it; what it is decides the name
        resolved = str(found.get("linkTarget") or path)
        if resolved != path:
            path, found = resolved, _stat(session, container, resolved)
    if source == "-":
        if not _is_directory(found):
            raise InvalidArgument(f"the target of an archive must be a directory in the container: {path}")
        from corten.cli.transfer import source as read_source

        with read_source("-", "copying", quiet=True) as body:
            _put(session, arguments, container, path, body)
        return None
    if not os.path.lexists(source):
        raise NotFound(f"could not find {source} on this host")
    follow = arguments.on("follow-link") or source.endswith("/")
    is_directory = os.path.isdir(source) if follow else os.path.isdir(source) and not os.path.islink(source)
    directory, name = _container_target(session, container, source, is_directory, path, found)
    from corten.client import files

    counter = _Counter(files.pack(source.rstrip("/") or "/", name, follow=follow))
    _put(session, arguments, container, directory, counter)
    return counter.size


def _container_target(
    session: Session, container: str, source: str, is_directory: bool, path: str, found: Json | None
) -> tuple[str, str]:
    base = os.path.basename(os.path.abspath(source))
    if _is_directory(found):
        return path, "." if (is_directory and source.endswith(("/.",))) or source == "." else base
    if found is not None and is_directory:
        raise InvalidArgument(f"cannot copy a directory to the file {path}")
    if path.endswith("/") and not is_directory:
        raise NotFound(f"the directory {path} does not exist in the container {container}")
    parent, name = os.path.split(path.rstrip("/"))
    if not _is_directory(_stat(session, container, parent or "/")):
        raise NotFound(f"the directory {parent} does not exist in the container {container}")
    return parent or "/", name


class _Counter:
    """Counts what goes through."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def _put(session: Session, arguments: Arguments, container: str, path: str, body: Iterable[bytes]) -> None:
    query = {"path": path, "noOverwriteDirNonDir": "true"}
    if arguments.on("archive"):
        query["copyUIDGID"] = "true"
    session.transport.request(
        "PUT",
        f"/containers/{container}/archive",
        query=query,
        body=body,
        headers={"Content-Type": "application/x-tar"},
    ).read()
