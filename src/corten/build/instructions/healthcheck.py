"""HEALTHCHECK."""

from __future__ import annotations

from corten.build.instructions.flags import Flags, read_flags
from corten.build.instructions.notation import format_duration, parse_duration, parse_signed
from corten.build.instructions.types import Healthcheck
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import error_at
from corten.build.parser.syntax_tree import Node

SHORTEST = 1_000_000
"""In nanoseconds; 0 is allowed as well, and means the default."""


def parse_healthcheck(node: Node) -> Healthcheck:
    if not node.arguments:
        raise error_at(node, "HEALTHCHECK requires at least one argument")
    written, *command = node.arguments
    kind = written.upper()
    if kind == "NONE":
        if command:
            raise error_at(node, "HEALTHCHECK NONE takes no arguments", command[0])
        return Healthcheck(node=node, test=("NONE",))
    flags = read_flags(node, text=("interval", "timeout", "start-period", "start-interval", "retries"))
    if kind != "CMD":
        raise error_at(node, f"Unknown type {quoted(kind)} in HEALTHCHECK (try CMD)", written)
    if not command:
        raise error_at(node, "Missing command after HEALTHCHECK CMD")
    return Healthcheck(
        node=node,
        test=("CMD" if node.json else "CMD-SHELL", *command),
        interval=_duration(node, flags, "interval"),
        timeout=_duration(node, flags, "timeout"),
        start_period=_duration(node, flags, "start-period"),
        start_interval=_duration(node, flags, "start-interval"),
        retries=_retries(node, flags),
    )


def _duration(node: Node, flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise error_at(node, f"--{name}: {error}", text) from None
    if duration and duration < SHORTEST:
        shortest = format_duration(SHORTEST)
        raise error_at(node, f"Interval {quoted(name)} cannot be less than {shortest}", text)
    return duration


def _retries(node: Node, flags: Flags) -> int:
    text = flags.text("retries")
    if not text:
        return 0
    try:
        retries = parse_signed(text)
    except ValueError as error:
        raise error_at(node, f"--retries: {error}", text) from None
    if retries < 0:
        raise error_at(node, f"--retries cannot be negative ({retries})", text)
    return retries
