"""RUN, and the command lines of RUN, CMD and ENTRYPOINT."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from corten.build.instructions.flags import read_flags
from corten.build.instructions.mounts import parse_device, scan_mount
from corten.build.instructions.types import CommandLine, Run, ShellFile
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import error_at
from corten.build.parser.syntax_tree import Node

NETWORKS = ("default", "none", "host")
SECURITY = ("sandbox", "insecure")

_Value = TypeVar("_Value")


def command_line(node: Node) -> CommandLine:
    files = tuple(ShellFile(heredoc.name, heredoc.content, heredoc.chomp) for heredoc in node.heredocs)
    return CommandLine(node.arguments, shell=not node.json, files=files)


def parse_run(node: Node) -> Run:
    flags = read_flags(node, text=("network", "security"), texts=("mount", "device"))
    network = flags.text("network", "default")
    security = flags.text("security", "sandbox")
    devices = _parsed(node, parse_device, flags.texts("device"))
    mounts = _parsed(node, scan_mount, flags.texts("mount"))
    if network not in NETWORKS:
        raise error_at(node, f"invalid network mode {quoted(network)}", f"--network={network}")
    if security not in SECURITY:
        raise error_at(node, f"security {quoted(security)} is not valid", f"--security={security}")
    return Run(
        node=node,
        command=command_line(node),
        mounts=mounts,
        network=network,
        security=security,
        devices=devices,
    )


def _parsed(node: Node, parse: Callable[[str], _Value], texts: tuple[str, ...]) -> tuple[_Value, ...]:
    values: list[_Value] = []
    for text in texts:
        try:
            values.append(parse(text))
        except ValueError as error:
            raise error_at(node, str(error), text) from None
    return tuple(values)
