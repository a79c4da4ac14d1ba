"""corten registry serve: a registry in the foreground."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry serve [OPTIONS]"
DETAIL = """\
It speaks the OCI distribution specification: corten, docker, podman, skopeo and the others push to it
and pull from it. Without options it listens on 127.0.0.1:5000 and keeps everything in files. Any number
of registries may share one PostgreSQL database and one bucket. No engine is needed."""
EXAMPLES = (
    "corten registry serve",
    "corten registry serve --listen 127.0.0.1:5001 --root ~/registry",
    "corten registry serve --database postgresql://corten@db/registry --storage s3://images",
)
ARGS = (0, 0)
OPTIONS = (
    ("access-log", "", "bool", "", "A line of JSON on stderr for each request"),
    (
        "allow-anonymous",
        "",
        "bool",
        "",
        "Let everybody who reaches an address beyond loopback push and delete",
    ),
    *PLACE_OPTIONS,
    ("external-url", "", "str", "URL", "What clients call this registry, where a proxy does not say so"),
    ("listen", "l", "list", "ADDRESS:PORT", "Where to listen (default 127.0.0.1:5000)"),
    ("workers", "", "int", "N", "How many processes serve (default: one for each core, 4 at most)"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry."""
    from corten.cli.registry_process import become, place

    settings = place(arguments)
    if arguments.has("listen"):
        settings["listen"] = arguments.many("listen")
    if arguments.has("workers"):
        settings["workers"] = arguments.number("workers")
    if arguments.has("external-url"):
        settings["external-url"] = arguments.text("external-url")
    for name in ("access-log", "allow-anonymous"):
        if arguments.has(name):
            settings[name] = arguments.on(name)
    become("serve", {"file": arguments.text("config"), "set": settings})
