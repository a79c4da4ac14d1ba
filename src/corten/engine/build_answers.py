"""`--call check|outline|targets|describe`: what is asked without building anything, as text and as JSON."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from corten.api.build import BuildAnswer, SourceLine
from corten.build.plan.checking import CheckReport, check_dockerfile
from corten.build.plan.model import ImageResolver, PlanOptions
from corten.build.plan.outline import Outline, OutlineSecret, Target, list_targets, outline_build
from corten.build.progress import Warning
from corten.engine.build_definition import Definition
from corten.engine.build_failure import excerpt
from corten.errors import InvalidArgument

_RULE = "-" * 20
_REQUESTS = (
    ("outline", "List all parameters current build target supports"),
    ("targets", "List all targets current build supports"),
    ("lint", "Lint source code"),
    ("subrequests.describe", "List available subrequest types"),
)
"""Those of BuildKit's Dockerfile frontend, in its words; each is of version 1.0.0."""


async def answer(
    call: str, definition: Definition, options: PlanOptions, images: ImageResolver
) -> BuildAnswer:
    """InvalidArgument, DockerfileError."""
    if call == "check":
        return _check(definition, await check_dockerfile(definition.data, options, images))
    if call == "outline":
        return _outline(definition, await outline_build(definition.data, options, images))
    if call == "targets":
        return _targets(definition, list_targets(definition.data))
    if call == "describe":
        return _describe()
    raise InvalidArgument(f"unknown call {call!r}")


def _check(definition: Definition, report: CheckReport) -> BuildAnswer:
    lines: list[str] = []
    for warning in report.warnings:
        lines += [f"\nWARNING: {warning.rule}{f' - {warning.url}' if warning.url else ''}", warning.message]
        lines += _place(definition, warning.lines)
    error = report.error
    if error is not None:
        lines += [f"\nERROR: {error.reason}", *_place(definition, (error.line, error.end_line))]
    count = len(report.warnings)
    if not count and error is None:
        lines.append("Check complete, no warnings found.")
    elif error is None:
        found = "1 warning has been found!" if count == 1 else f"{count} warnings have been found!"
        lines.insert(0, f"Check complete, {found}")
    value: dict[str, Any] = {
        "warnings": [_warning(warning) for warning in report.warnings],
        "sources": _sources(definition),
    }
    if error is not None:
        value["buildError"] = {"message": error.reason, "location": _range(error.line, error.end_line)}
    return BuildAnswer("\n".join(lines).lstrip("\n") + "\n", value, failed=bool(count or error))


def _outline(definition: Definition, outline: Outline) -> BuildAnswer:
    lines: list[str] = []
    if outline.name or outline.description:
        lines += [f"TARGET:      {outline.name or '(default)'}"]
        lines += [f"DESCRIPTION: {outline.description}"] if outline.description else []
        lines.append("")
    if outline.arguments:
        rows = [(item.name, item.value, item.description) for item in outline.arguments]
        lines += [*_table(("BUILD ARG", "VALUE", "DESCRIPTION"), rows), ""]
    for title, items in (("SECRET", outline.secrets), ("SSH", outline.agents)):
        if items:
            needs = [(item.name, "true" if item.required else "") for item in items]
            lines += [*_table((title, "REQUIRED"), needs), ""]
    value = {
        "name": outline.name,
        "description": outline.description,
        "args": [
            {
                "name": item.name,
                "value": item.value,
                "description": item.description,
                "location": _range(*item.lines),
            }
            for item in outline.arguments
        ],
        "secrets": [_needed(item) for item in outline.secrets],
        "ssh": [_needed(item) for item in outline.agents],
        "sources": _sources(definition),
    }
    return BuildAnswer("".join(f"{line}\n" for line in lines), value)


def _needed(item: OutlineSecret) -> dict[str, Any]:
    return {"name": item.name, "required": item.required, "location": _range(*item.lines)}


def _targets(definition: Definition, targets: Sequence[Target]) -> BuildAnswer:
    rows = []
    for target in targets:
        default = "(default)" if target.is_default else ""
        rows.append((f"{target.name} {default}".strip(), target.description))
    value = {
        "targets": [
            {
                "name": target.name,
                "default": target.is_default,
                "description": target.description,
                "base": target.base,
                "platform": target.platform,
                "location": _range(*target.lines),
            }
            for target in targets
        ],
        "sources": _sources(definition),
    }
    return BuildAnswer("".join(f"{line}\n" for line in _table(("TARGET", "DESCRIPTION"), rows)), value)


def _describe() -> BuildAnswer:
    """What may be asked, as BuildKit's subrequest `subrequests.describe` has it."""
    value = [
        {
            "name": f"frontend.{name}",
            "version": "1.0.0",
            "type": "rpc",
            "description": description,
            "opts": [{"name": "target", "description": "Target build stage"}] if name == "outline" else None,
            "inputs": None,
            "metadata": [{"name": f"result.{form}", "description": ""} for form in ("json", "txt")],
            "refs": None,
        }
        for name, description in _REQUESTS
    ]
    rows = [(name, "1.0.0", description) for name, description in _REQUESTS]
    lines = _table(("NAME", "VERSION", "DESCRIPTION"), rows)
    return BuildAnswer("".join(f"{line}\n" for line in lines), value)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) + 3 for column in zip(head, *rows, strict=True)]
    return [
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def _sources(definition: Definition) -> list[dict[str, Any]]:
    data = base64.b64encode(definition.data).decode()
    return [{"filename": definition.name, "language": "Dockerfile", "data": data}]


def _place(definition: Definition, lines: tuple[int, int]) -> list[str]:
    first, last = lines
    if not first:
        return []
    shown = [_shown(line) for line in excerpt(definition, first, last)]
    return [f"{definition.name}:{first}", _RULE, *shown, _RULE]


def _shown(line: SourceLine) -> str:
    text = "".join(letter if letter == "\t" or letter.isprintable() else "\ufffd" for letter in line.text)
    return f"{line.number:4} | {'>>>' if line.marked else '   '} {text}".rstrip()


def _warning(warning: Warning) -> dict[str, Any]:
    """As BuildKit's subrequest `lint` has it."""
    return {
        "ruleName": warning.rule,
        "description": warning.detail,
        "url": warning.url,
        "detail": warning.message,
        "location": _range(*warning.lines),
    }


def _range(first: int, last: int) -> dict[str, Any]:
    return {"ranges": [{"start": {"line": first}, "end": {"line": max(first, last)}}]}
