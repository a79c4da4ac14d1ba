"""Creates a container: shared by `run` and `create`."""

from __future__ import annotations

from corten.cli.session import warn_all
from corten.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json


def create(
    session: Session, arguments: Arguments, body: dict[str, Json], headers: dict[str, str] | None = None
) -> str:
    """The id of the new container; prints the engine's warnings and writes the --cidfile."""
    query = {}
    if name := arguments.text("name"):
        query["name"] = name
    if platform := arguments.text("platform"):
        query["platform"] = platform
    cidfile = arguments.text("cidfile")
    if cidfile:
        _check_cidfile(cidfile)
    try:
        answer = session.transport.request(
            "POST", "/containers/create", query=query, json=body, headers=headers
        ).json()
    except NotFound as error:
        raise _missing(session, str(body["Image"]), error) from error
    warn_all(answer)
    container: str = answer["Id"]
    if cidfile:
        with open(cidfile, "x", encoding="ascii") as file:
            file.write(container)
    return container


def _check_cidfile(path: str) -> None:
    import os

    if os.path.exists(path):
        raise InvalidArgument(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        )


def _missing(session: Session, image: str, error: NotFound) -> NotFound:
    """Nothing to run: says how to get the image. Another thing that is missing keeps its own sentence."""
    if session.transport.request("GET", f"/images/{image}/json", check=False).status != 404:
        return error
    name = image.rpartition("/")[2].partition(":")[0].partition("@")[0]
    if name in ("busybox", "debian"):
        return NotFound(
            f"unable to find image {image!r} locally: make it by 'corten image bootstrap {name}',"
            " or bring it by 'corten load -i FILE'"
        )
    return NotFound(
        f"unable to find image {image!r} locally: bring it by 'corten load -i FILE',"
        " or make a base image by 'corten image bootstrap busybox' (or debian)"
    )
