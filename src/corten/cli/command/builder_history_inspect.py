"""corten builder history inspect: everything about a build that has ended."""

from __future__ import annotations

import sys

from corten.cli.build_records import BUILDER, REFERENCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten builder history inspect [OPTIONS] [REF]"
DETAIL = REFERENCE
EXAMPLES = (
    "corten builder history inspect",
    "corten builder history inspect ^1 --format '{{.Status}} {{.Digest}}'",
)
ARGS = (0, 1)
OPTIONS = (BUILDER, ("format", "", "str", "TEMPLATE", "'pretty', 'json' or a Go template"))
_LABEL_WIDTH = 16


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli.build_records import find

    record = find(session, arguments.rest)
    style = arguments.text("format", "pretty")
    if style == "json":
        from corten.cli.listing import print_json

        print_json(_fields(record), 2)
    elif style == "pretty":
        _print(record, with_id=not arguments.rest)
    else:
        from corten.cli.template import Template

        template = Template(style.replace("\\t", "\t").replace("\\n", "\n"), strict=True)
        print(template.render(_fields(record)))
    return 0


def _fields(record: Json) -> dict[str, Json]:
    """buildx's, and what the build has made."""
    from corten.cli.build_rawjson import moment

    failure = record["failure"]
    error = failure and {"Message": failure["message"], "Name": failure["step"], "Logs": failure["log"]}
    return {
        "Name": record["name"],
        "Ref": record["id"],
        "Context": record["context"],
        "Dockerfile": record["dockerfile"],
        "Target": record["target"],
        "Platform": record["platforms"],
        "StartedAt": moment(record["started"]),
        "CompletedAt": moment(record["completed"]),
        "Duration": record["completed"] - record["started"],
        "Status": "failed" if record["status"] == "error" else record["status"],
        "Error": error,
        "NumCompletedSteps": record["completed_steps"],
        "NumTotalSteps": record["total_steps"],
        "NumCachedSteps": record["cached_steps"],
        "ImageID": record["image_id"],
        "Digest": record["digest"],
        "Images": record["images"],
    }


def _print(record: Json, *, with_id: bool) -> None:
    import time

    from corten.cli import build_failure
    from corten.cli.build_records import duration

    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["started"] / 1e9))
    failure, total = record["failure"], record["total_steps"]
    share = f" ({record['cached_steps'] / total:.0%} cached)" if total else ""
    blocks = (
        (
            ("Name", record["name"]),
            ("Ref", record["id"] if with_id else ""),
            ("Context", record["context"]),
            ("Dockerfile", record["dockerfile"]),
            ("Target", record["target"]),
            ("Platforms", ", ".join(record["platforms"])),
        ),
        (
            ("Started", started),
            ("Duration", duration(record)),
            ("Status", "Canceled" if record["status"] == "canceled" else ""),
            ("Error", failure["message"] if failure else ""),
            ("Build Steps", f"{record['completed_steps']}/{total}{share}"),
        ),
        (
            ("Image ID", record["image_id"]),
            ("Digest", record["digest"]),
            ("Images", ", ".join(record["images"])),
        ),
    )
    for block in blocks:
        lines = [f"{label}:".ljust(_LABEL_WIDTH) + text for label, text in block if text]
        if lines:
            print("\n".join(lines) + "\n")
    if failure and failure["step"]:
        build_failure.show(failure, sys.stdout)
        print()
    print(f"Print build logs: corten builder history logs {record['id']}")
