"""corten manifest create: a list of images for several platforms."""

from __future__ import annotations

from corten.cli.registry_request import TLS_VERIFY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten manifest create [OPTIONS] LIST NAME [NAME...]"
DETAIL = "The images have to be in a registry already. The list stays on this host until it is pushed."
EXAMPLES = (
    "corten manifest create localhost:5000/app:1 localhost:5000/app:1-amd64 localhost:5000/app:1-arm64",
)
ARGS = (2, None)
OPTIONS = (
    ("amend", "a", "bool", "", "Add to a list that is there"),
    ("insecure", "", "bool", "", "The same as --tls-verify=false"),
    TLS_VERIFY,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.client import manifests

    verify = arguments.on("tls-verify", True) and not arguments.on("insecure")
    name = manifests.create(
        arguments.rest[0], arguments.rest[1:], amend=arguments.on("amend"), tls_verify=verify
    )
    print(f"Created manifest list {name}")
    return 0
