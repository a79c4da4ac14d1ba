"""corten manifest annotate: the platform of an image in a list."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten manifest annotate [OPTIONS] LIST NAME"
EXAMPLES = (
    "corten manifest annotate --arch arm --variant v7 localhost:5000/app:1 localhost:5000/app:1-armhf",
)
ARGS = (2, 2)
OPTIONS = (
    ("arch", "", "str", "ARCHITECTURE", "Architecture, as in arm64"),
    ("os", "", "str", "SYSTEM", "Operating system, as in linux"),
    ("os-features", "", "list", "FEATURE", "Feature of the operating system that is needed"),
    ("os-version", "", "str", "VERSION", "Version of the operating system"),
    ("variant", "", "str", "VARIANT", "Variant of the architecture, as in v7"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.client import manifests

    manifests.annotate(
        arguments.rest[0],
        arguments.rest[1],
        os_name=arguments.text("os"),
        architecture=arguments.text("arch"),
        variant=arguments.text("variant"),
        os_version=arguments.text("os-version"),
        os_features=arguments.many("os-features"),
    )
    return 0
