"""corten manifest inspect: a manifest or list, as the registry has it."""

from __future__ import annotations

from corten.cli.registry_request import TLS_VERIFY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten manifest inspect [OPTIONS] [LIST] NAME"
EXAMPLES = ("corten manifest inspect debian:12", "corten manifest inspect -v debian:12")
ARGS = (1, 2)
OPTIONS = (
    ("insecure", "", "bool", "", "The same as --tls-verify=false"),
    TLS_VERIFY,
    ("verbose", "v", "bool", "", "Names, descriptors and platforms too"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import listing
    from corten.client import manifests

    verify = arguments.on("tls-verify", True) and not arguments.on("insecure")
    member = arguments.rest[1] if len(arguments.rest) == 2 else ""
    found = manifests.inspect(
        arguments.rest[0], member=member, verbose=arguments.on("verbose"), tls_verify=verify
    )
    listing.print_json(found, indent=3)
    return 0
