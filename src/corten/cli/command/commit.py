"""corten commit: an image from a container's changes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]"
EXAMPLES = ("corten commit -m 'add the tools' -c 'CMD [\"sh\"]' work tools:1",)
ARGS = (1, 2)
OPTIONS = (
    ("author", "a", "str", "NAME", "Author, as in 'Jo <jo@example.com>'"),
    ("change", "c", "list", "INSTRUCTION", "Apply a Dockerfile instruction (CMD, ENV, USER, …)"),
    ("message", "m", "str", "TEXT", "Comment in the image's history"),
    ("pause", "p", "bool", "", "Pause the container meanwhile (default true)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.transfer import split_tag

    query: dict[str, str | list[str]] = {"container": arguments.rest[0]}
    if len(arguments.rest) == 2:
        query["repo"], query["tag"] = split_tag(arguments.rest[1])
    for option, field in (("author", "author"), ("message", "comment")):
        if arguments.has(option):
            query[field] = arguments.text(option)
    if changes := arguments.many("change"):
        query["changes"] = "\n".join(changes)
    query["pause"] = "1" if arguments.on("pause", True) else "0"
    print(session.post("/commit", query)["Id"])
    return 0
