"""corten pull: an image from its registry."""

from __future__ import annotations

from corten.cli.registry_request import TLS_VERIFY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten pull [OPTIONS] NAME[:TAG|@DIGEST]"
DETAIL = """\
A name without a registry is Docker Hub's. Layers that are here are not downloaded again, and a download that
broke off goes on where it was."""
EXAMPLES = (
    "corten pull debian:12-slim",
    "corten pull --platform linux/arm64 registry.example:5000/team/app:1.4",
)
ARGS = (1, 1)
OPTIONS = (
    ("all-platforms", "", "bool", "", "The image for every platform; this host's is made ready to run"),
    ("all-tags", "a", "bool", "", "Every tag of the repository"),
    ("disable-content-trust", "", "bool", "", "(hidden) accepted for Docker's sake"),
    ("platform", "", "str", "PLATFORM", "The image for another platform, as in linux/arm64"),
    ("policy", "", "str", "WHEN", "When to pull: always (default), missing, newer or never"),
    ("pull", "", "str", "WHEN", "(hidden) the same as --policy"),
    ("quiet", "q", "bool", "", "Print the image's name only"),
    TLS_VERIFY,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import layer_display, registry_request
    from corten.client import credentials
    from corten.errors import InvalidArgument, NotFound

    name, quiet = arguments.rest[0], arguments.on("quiet")
    has_tag = bool(credentials.split(name)[1])
    if arguments.on("all-tags") and has_tag:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    # A pull asks the registry, and takes nothing that is here already: "always" and "newer" are one.
    known = ("always", "missing", "newer", "never")
    when = registry_request.policy(arguments.text("policy") or arguments.text("pull", "always"), known)
    if not arguments.on("all-tags"):
        if not has_tag and not quiet:
            print("Using default tag: latest", flush=True)
        name = registry_request.with_tag(name)
    if when in ("missing", "never"):
        if registry_request.exists(session, name):
            print(registry_request.canonical(name))
            return 0
        if when == "never":
            raise NotFound(f"image {name!r} is not here, and --policy never forbids to pull it")
    query = registry_request.query_of(arguments)
    if arguments.on("all-platforms"):
        query["allPlatforms"] = "1"
    registry_request.pull(session, name, query, layer_display.output(quiet))
    print(registry_request.canonical(name))
    return 0
