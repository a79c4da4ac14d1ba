"""corten info: the engine and the host."""

from __future__ import annotations

from corten.cli.quantity import human_binary
from corten.cli.session import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten info [OPTIONS]"
EXAMPLES = ("corten info", "corten info --format '{{.CgroupVersion}} {{.Driver}}'")
ARGS = (0, 0)
OPTIONS = (("format", "f", "str", "TEMPLATE", "'json' or a Go template"),)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    info = session.get("/info")
    style = arguments.text("format")
    if style:
        from corten.cli.template import Template, to_json

        print(to_json(info) if style == "json" else Template(style, strict=True).render(info))
        return 0
    from corten.version import __version__

    lines = [
        "Client:",
        f" Version:    {__version__}",
        f" Engine at:  {session.transport.address}",
        "",
        "Server:",
    ]
    print("\n".join(lines + _server(info)))
    for message in info.get("Warnings") or ():
        warn(message.removeprefix("WARNING: "))
    return 0


def _server(info: Json) -> list[str]:
    lines = [
        f" Containers: {info['Containers']}",
        f"  Running: {info['ContainersRunning']}",
        f"  Paused: {info['ContainersPaused']}",
        f"  Stopped: {info['ContainersStopped']}",
        f" Images: {info['Images']}",
        f" Server Version: {info['ServerVersion']}",
        f" Storage Driver: {info['Driver']}",
        *(f"  {name}: {value}" for name, value in info.get("DriverStatus") or ()),
        f" Logging Driver: {info['LoggingDriver']}",
        f" Cgroup Driver: {info['CgroupDriver']}",
        f" Cgroup Version: {info.get('CgroupVersion', '1')}",
        " Plugins:",
    ]
    for kind in ("Volume", "Network", "Log"):
        lines.append(f"  {kind}: {' '.join(info['Plugins'].get(kind) or ())}")
    lines.append(f" Runtimes: {' '.join(sorted(info.get('Runtimes') or ()))}")
    lines.append(f" Default Runtime: {info.get('DefaultRuntime', '')}")
    lines.append(" Security Options:")
    for option in info.get("SecurityOptions") or ():
        name, *rest = option.split(",")
        lines.append(f"  {name.removeprefix('name=')}")
        lines += [f"   {key.title()}: {value}" for key, _, value in (item.partition("=") for item in rest)]
    return [
        *lines,
        f" Kernel Version: {info['KernelVersion']}",
        f" Operating System: {info['OperatingSystem']}",
        f" OSType: {info['OSType']}",
        f" Architecture: {info['Architecture']}",
        f" CPUs: {info['NCPU']}",
        f" Total Memory: {human_binary(info['MemTotal'])}",
        f" Name: {info['Name']}",
        f" ID: {info['ID']}",
        f" Root Directory: {info['DockerRootDir']}",
        f" Live Restore Enabled: {str(info.get('LiveRestoreEnabled', False)).lower()}",
    ]
