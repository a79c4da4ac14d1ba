"""Creates a container: shared by `run` and `create`."""

from __future__ import annotations

import sys

from corten.cli.session import warn_all
from corten.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json


def create(
    session: Session,
    arguments: Arguments,
    body: dict[str, Json],
    headers: dict[str, str] | None = None,
    again: Callable[[], dict[str, str]] | None = None,
) -> str:
    """The id of the new container; prints the engine's warnings and writes the --cidfile. Pulls the image as
    `--pull` says; `again` gives the headers for the request after that."""
    query = {}
    if name := arguments.text("name"):
        query["name"] = name
    if platform := arguments.text("platform"):
        query["platform"] = platform
    add_proxies(body, str(session.transport.address))
    cidfile = arguments.text("cidfile")
    if cidfile:
        _check_cidfile(cidfile)
    when = arguments.text("pull", "missing")
    if when != "missing":
        _pull(session, arguments, body, when)
    try:
        answer = _post(session, query, body, headers)
    except NotFound:
        if when != "missing" or _exists(session, body):
            raise
        _pull(session, arguments, body, when)
        answer = _post(session, query, body, again() if again is not None else headers)
    warn_all(answer)
    container: str = answer["Id"]
    if cidfile:
        with open(cidfile, "x", encoding="ascii") as file:
            file.write(container)
    return container


def add_proxies(body: dict[str, Json], engine: str) -> None:
    """The proxies that config.json has for containers of the engine at that address, unless the user gave
    others."""
    from corten.client.proxies import proxy_variables

    if proxies := proxy_variables(engine):
        given = body.get("Env") or []
        names = {variable.partition("=")[0] for variable in given}
        body["Env"] = [*given, *(f"{name}={value}" for name, value in proxies.items() if name not in names)]


def _check_cidfile(path: str) -> None:
    import os

    if os.path.exists(path):
        raise InvalidArgument(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        )


def _post(
    session: Session, query: dict[str, str], body: dict[str, Json], headers: dict[str, str] | None
) -> Json:
    return session.transport.request(
        "POST", "/containers/create", query=query, json=body, headers=headers
    ).json()


def _exists(session: Session, body: dict[str, Json]) -> bool:
    """Whether it was something else than the image that is missing."""
    return session.transport.request("GET", f"/images/{body['Image']}/json", check=False).status != 404


def _pull(session: Session, arguments: Arguments, body: dict[str, Json], when: str) -> None:
    """Does what `--pull` says: always, missing or never."""
    from corten.cli import registry_request

    image, quiet = str(body["Image"]), arguments.on("quiet")
    registry_request.policy(when)
    query = registry_request.query_of(arguments)
    if when == "always":
        registry_request.pull(session, registry_request.with_tag(image), query, None if quiet else sys.stderr)
    elif when == "missing":
        registry_request.pull_missing(session, image, query, quiet)
    elif not registry_request.exists(session, image):
        raise NotFound(f"unable to find image {image!r} locally, and --pull never forbids to pull it")
