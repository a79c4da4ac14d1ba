"""corten manifest push: a list of images, with those that its repository lacks."""

from __future__ import annotations

from corten.cli.registry_request import TLS_VERIFY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten manifest push [OPTIONS] LIST"
EXAMPLES = ("corten manifest push --purge localhost:5000/app:1",)
ARGS = (1, 1)
OPTIONS = (
    ("insecure", "", "bool", "", "The same as --tls-verify=false"),
    ("purge", "p", "bool", "", "Remove the list from this host then"),
    ("quiet", "q", "bool", "", "Print the digest only"),
    TLS_VERIFY,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.layer_display import LayerDisplay, output
    from corten.client import manifests

    verify = arguments.on("tls-verify", True) and not arguments.on("insecure")
    with LayerDisplay(output(arguments.on("quiet"))) as display:
        digest = manifests.push(
            arguments.rest[0],
            purge=arguments.on("purge"),
            tls_verify=verify,
            report=lambda step: display.layer(step.id, step.text, step.current, step.total),
        )
    print(digest)
    return 0
