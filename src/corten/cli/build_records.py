"""The records of past builds: asking the engine for them, and words for what they say."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from corten.cli.options import Option
    from corten.cli.session import Session
    from corten.client.jsontext import Json

BUILDER: Option = ("builder", "", "str", "NAME", "(hidden) there is one builder")
REFERENCE = """\
A build is named by its id, or the beginning of it; ^0 is the last one, ^1 the one before. Without a name it
is the last."""


def path(reference: str) -> str:
    """Where the engine has a record. `reference` may be a build's `buildx.build.ref`: builder and node come
    first. InvalidArgument."""
    from corten.client import http

    name = reference.removeprefix("corten/corten/")
    if not name or "/" in name:
        from corten.errors import InvalidArgument

        raise InvalidArgument(f"invalid build {reference!r}: it is an id, its beginning, or ^N")
    return f"/corten/builds/{http.quote(name)}"


def find(session: Session, arguments: Sequence[str]) -> Json:
    """The record of the only argument, or of the last build."""
    return session.get(path(arguments[0] if arguments else "^0"))


def events(session: Session, record: Json) -> list[Json]:
    """What the build has told, in order."""
    from corten.client import jsontext

    answer = session.transport.request("GET", f"{path(record['id'])}/events")
    return jsontext.LineDecoder().feed(answer.read())


def duration(record: Json) -> str:
    """`2.5s`, `1m  5s`: as buildx has it."""
    seconds = max(record["completed"] - record["started"], 0) / 1e9
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m {int(seconds) % 60:2}s"
