"""corten copy: an image from one place to another, past the store."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten copy [OPTIONS] SOURCE DESTINATION"
DETAIL = """\
Places are written as skopeo writes them: docker://NAME (a registry), docker-archive:PATH[:NAME],
oci-archive:PATH[:TAG], oci:PATH[:TAG] (an image layout), dir:PATH. Nothing is stored on the way, and no
engine is needed."""
EXAMPLES = (
    "corten copy docker://debian:12 docker://registry.example:5000/mirror/debian:12",
    "corten copy --all docker://debian:12 oci:layouts:debian-12",
    "corten copy docker-archive:app.tar docker://localhost:5000/app:1",
)
ARGS = (2, 2)
OPTIONS = (
    ("all", "a", "bool", "", "The images of an index for all platforms (--multi-arch all)"),
    ("dest-creds", "", "str", "NAME:PASSWORD", "Credentials for the destination"),
    ("dest-tls-verify", "", "bool", "", "Refuse invalid certificates and plain http there (default true)"),
    ("multi-arch", "", "str", "WHICH", "Images of an index: system (default), all, index-only"),
    ("platform", "", "str", "PLATFORM", "Which platform is this system's, as in linux/arm64"),
    ("preserve-digests", "", "bool", "", "Fail rather than change a manifest"),
    ("quiet", "q", "bool", "", "No progress"),
    ("src-creds", "", "str", "NAME:PASSWORD", "Credentials for the source"),
    ("src-tls-verify", "", "bool", "", "Refuse invalid certificates and plain http there (default true)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.layer_display import LayerDisplay, output
    from corten.client import copying

    with LayerDisplay(output(arguments.on("quiet"))) as display:
        digest = copying.copy(
            arguments.rest[0],
            arguments.rest[1],
            multi_arch="all" if arguments.on("all") else arguments.text("multi-arch", "system"),
            platform=arguments.text("platform"),
            preserve_digests=arguments.on("preserve-digests"),
            source_tls_verify=arguments.on("src-tls-verify", True),
            destination_tls_verify=arguments.on("dest-tls-verify", True),
            source_credentials=arguments.text("src-creds"),
            destination_credentials=arguments.text("dest-creds"),
            report=lambda step: display.layer(step.id, step.text, step.current, step.total),
        )
    print(digest)
    return 0
