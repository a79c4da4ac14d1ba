"""corten version: client and engine."""

from __future__ import annotations

import sys

from corten.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten version [OPTIONS]"
EXAMPLES = ("corten version", "corten version --format '{{.Server.Version}}'")
ARGS = (0, 0)
OPTIONS = (("format", "f", "str", "TEMPLATE", "'json' or a Go template"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.version import __version__

    client: Json = {
        "Version": __version__,
        "ApiVersion": "1.51",
        "Os": sys.platform,
        "Arch": _architecture(),
        "Python": sys.version.partition(" ")[0],
    }
    problem, server = "", None
    try:
        server = session.get("/version")
    except Unavailable as error:
        problem = error.message
    style = arguments.text("format")
    if style:
        from corten.cli.template import Template, to_json

        both = {"Client": client, "Server": server}
        print(to_json(both) if style == "json" else Template(style, strict=True).render(both))
    else:
        print("\n".join(_text(client, server)))
    if problem:
        sys.stdout.flush()
        print(f"corten: {problem}", file=sys.stderr)
        return 1
    return 0


def _architecture() -> str:
    import os

    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _text(client: Json, server: Json) -> list[str]:
    lines = [
        "Client:",
        f" Version:           {client['Version']}",
        f" API version:       {client['ApiVersion']}",
        f" Python version:    {client['Python']}",
        f" OS/Arch:           {client['Os']}/{client['Arch']}",
    ]
    if server is None:
        return lines
    lines += [
        "",
        f"Server: {(server.get('Platform') or {}).get('Name', '')}".rstrip(),
        " Engine:",
        f"  Version:          {server['Version']}",
        f"  API version:      {server['ApiVersion']} (minimum version {server.get('MinAPIVersion', '')})",
        f"  OS/Arch:          {server['Os']}/{server['Arch']}",
        f"  Kernel:           {server.get('KernelVersion', '')}",
    ]
    for component in server.get("Components") or ():
        if component["Name"] != "Engine":
            lines += [f" {component['Name']}:", f"  Version:          {component['Version']}"]
    return lines
