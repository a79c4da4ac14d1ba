"""corten port: where the published ports of a container are."""

from __future__ import annotations

from corten.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten port CONTAINER [PRIVATE_PORT[/PROTO]]"
EXAMPLES = ("corten port web", "corten port web 80")
ARGS = (1, 2)
OPTIONS = ()


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    name = arguments.rest[0]
    ports = session.get(f"/containers/{name}/json")["NetworkSettings"].get("Ports") or {}
    if len(arguments.rest) == 2:
        wanted = arguments.rest[1]
        wanted = wanted if "/" in wanted else f"{wanted}/tcp"
        bindings = ports.get(wanted)
        if not bindings:
            raise NotFound(f"no public port {wanted!r} published for {name}")
        for binding in bindings:
            print(_address(binding))
        return 0
    lines = []
    for port in sorted(ports, key=lambda text: (int(text.partition("/")[0]), text)):
        lines += [f"{port} -> {_address(binding)}" for binding in ports[port] or ()]
    for line in lines:
        print(line)
    return 0


def _address(binding: dict[str, str]) -> str:
    host = binding["HostIp"]
    return f"[{host}]:{binding['HostPort']}" if ":" in host else f"{host}:{binding['HostPort']}"
