"""corten registry check: compares what a registry knows with what it stores."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry check [OPTIONS]"
DETAIL = """\
Every blob has to be there in its size, every manifest with everything it needs and protected from the
collector, and nothing else may lie in the storage. The registry may serve meanwhile. With --repair, blobs
whose bytes are gone or spoilt are looked for at other places of the storage, and else given up, so that a
push brings them again; what the metadata lack is written down, and what nothing knows of is deleted. The exit
code is 1 when something is wrong and was not repaired."""
EXAMPLES = ("corten registry check", "corten registry check --root ~/registry --read-blobs --repair")
ARGS = (0, 0)
OPTIONS = (
    *PLACE_OPTIONS,
    ("read-blobs", "", "bool", "", "Read every blob, and compare its digest"),
    ("repair", "", "bool", "", "Mend what can be mended; delete what nothing knows of"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the checker."""
    from corten.cli.registry_process import become, place

    become(
        "check",
        {
            "file": arguments.text("config"),
            "set": place(arguments),
            "read-blobs": arguments.on("read-blobs"),
            "repair": arguments.on("repair"),
        },
    )
