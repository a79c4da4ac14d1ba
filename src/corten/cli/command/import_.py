"""corten import: an image from the tar of a root file system."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten import [OPTIONS] FILE|URL|- [REPOSITORY[:TAG]]"
EXAMPLES = (
    "corten import rootfs.tar.zst base:1",
    "tar -C rootfs -c . | corten import -c 'CMD [\"sh\"]' - base",
)
ARGS = (1, 2)
OPTIONS = (
    ("change", "c", "list", "INSTRUCTION", "Apply a Dockerfile instruction (CMD, ENV, USER, …)"),
    ("message", "m", "str", "TEXT", "Comment in the image's history"),
    ("platform", "", "str", "PLATFORM", "Platform of the image, as in linux/arm64"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import progress, transfer

    origin = arguments.rest[0]
    remote = origin.startswith(("http://", "https://"))
    query: dict[str, str | list[str]] = {"fromSrc": origin if remote else "-"}
    if len(arguments.rest) == 2:
        name, tag = transfer.split_tag(arguments.rest[1])
        query["repo"] = name
        query["tag"] = tag
    if changes := arguments.many("change"):
        query["changes"] = changes
    for option in ("message", "platform"):
        if arguments.has(option):
            query[option] = arguments.text(option)
    if remote:
        answer = session.transport.request("POST", "/images/create", query=query)
        return progress.follow(answer, last_status=True)
    with transfer.source(origin, "importing") as body:
        answer = session.transport.request(
            "POST",
            "/images/create",
            query=query,
            body=body,
            headers={"Content-Type": "application/x-tar"},
        )
        return progress.follow(answer, last_status=True)
