"""What the commands ask of registries, through the engine and with the caller's credentials."""

from __future__ import annotations

import sys

from corten.cli import layer_display
from corten.client import credentials
from corten.errors import InvalidArgument, NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

POLICIES = ("always", "missing", "never")
TLS_VERIFY = (
    "tls-verify",
    "",
    "bool",
    "",
    "Refuse certificates that are not valid, and plain http (default true)",
)


def query_of(arguments: Arguments) -> dict[str, str]:
    """What `--platform` and `--tls-verify` say."""
    query = {}
    if platform := arguments.text("platform"):
        query["platform"] = platform
    if not arguments.on("tls-verify", True):
        query["tlsVerify"] = "0"
    return query


def pull(session: Session, name: str, query: dict[str, str], stream: TextIO | None) -> None:
    """Pulls `name` (all its tags when it has none); shows how far it is on `stream`."""
    repository, tag = credentials.split(name)
    answer = session.transport.request(
        "POST",
        "/images/create",
        query={"fromImage": repository, "tag": tag, **query},
        headers={credentials.HEADER: credentials.header_for(name)},
    )
    layer_display.show(answer.json_stream(), stream)


def push(session: Session, name: str, query: dict[str, str], stream: TextIO | None) -> list[Json]:
    """Pushes `name` (all its tags when it has none); what the registry has now: Tag, Digest, Size."""
    repository, tag = credentials.split(name)
    answer = session.transport.request(
        "POST",
        f"/images/{repository}/push",
        query={"tag": tag, **query},
        headers={credentials.HEADER: credentials.header_for(name)},
    )
    return layer_display.show(answer.json_stream(), stream)


def with_tag(name: str) -> str:
    """`name` with the tag that it has, or `latest`."""
    return name if credentials.split(name)[1] else f"{name}:latest"


def canonical(name: str) -> str:
    """The whole name: docker.io/library/busybox:latest."""
    domain = credentials.domain_of(name)
    first, slash, rest = name.partition("/")
    path = rest if slash and ("." in first or ":" in first or first == "localhost") else name
    if domain == credentials.HUB and "/" not in path:
        path = f"library/{path}"
    return f"{domain}/{path}"


def exists(session: Session, name: str) -> bool:
    """Whether the engine has an image."""
    return session.transport.request("GET", f"/images/{name}/json", check=False).status == 200


def policy(text: str, known: tuple[str, ...] = POLICIES) -> str:
    """A pull policy; InvalidArgument."""
    if text not in known:
        raise InvalidArgument(f"invalid pull option: {text!r}: must be one of {', '.join(known)}")
    return text


def pull_missing(session: Session, image: str, query: dict[str, str], quiet: bool) -> None:
    """For `run` and `create`: says that it pulls, and shows it on stderr."""
    name = with_tag(image)
    print(f"Unable to find image '{name}' locally", file=sys.stderr, flush=True)
    try:
        pull(session, name, query, None if quiet else sys.stderr)
    except (NotFound, Unavailable) as error:
        raise type(error)(f"{error.message}{_hint(name)}") from error


def _hint(name: str) -> str:
    """How to get along without a registry."""
    short = canonical(name).removeprefix("docker.io/library/").partition(":")[0]
    if short in ("busybox", "debian"):
        return f"; 'corten image bootstrap {short}' makes one here, 'corten load -i FILE' brings one"
    return "; 'corten load -i FILE' brings an image without a registry"
