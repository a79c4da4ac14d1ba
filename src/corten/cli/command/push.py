"""corten push: an image to a registry."""

from __future__ import annotations

from corten.cli.registry_request import TLS_VERIFY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten push [OPTIONS] NAME[:TAG]"
DETAIL = """\
The name says where it goes: give the image one by 'corten tag' that begins with the registry's. Layers that
the registry has are not sent again."""
EXAMPLES = ("corten push registry.example:5000/team/app:1.4", "corten push -a localhost:5000/app")
ARGS = (1, 1)
OPTIONS = (
    ("all-tags", "a", "bool", "", "Every tag of the repository that is here"),
    ("disable-content-trust", "", "bool", "", "(hidden) accepted for Docker's sake"),
    ("platform", "", "str", "PLATFORM", "Only the image for one platform, as in linux/arm64"),
    ("quiet", "q", "bool", "", "Print the image's name only"),
    TLS_VERIFY,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import layer_display, registry_request
    from corten.client import credentials
    from corten.errors import InvalidArgument

    name, quiet = arguments.rest[0], arguments.on("quiet")
    has_tag = bool(credentials.split(name)[1])
    if arguments.on("all-tags"):
        if has_tag:
            raise InvalidArgument("tag can't be used with --all-tags/-a")
    elif not has_tag:
        if not quiet:
            print("Using default tag: latest", flush=True)
        name = registry_request.with_tag(name)
    registry_request.push(session, name, registry_request.query_of(arguments), layer_display.output(quiet))
    if quiet:
        print(registry_request.canonical(name))
    return 0
