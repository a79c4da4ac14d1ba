"""corten system fsck: check everything that is stored, and mend what can be mended."""

from __future__ import annotations

import sys

from corten.errors import CortenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten system fsck [OPTIONS]"
DETAIL = """\
Every blob is hashed; every layer is made again from its blob and compared, file by file or byte by byte;
every name, image and container is followed to what it needs; and what belongs to nothing is found. Containers
go on meanwhile. With --repair, blobs are fetched again from the registries that their images' names tell,
layers are made again from their blobs, and what belongs to nothing is removed. The exit code is 1 when a
problem is left."""
EXAMPLES = ("corten system fsck", "corten system fsck --repair", "corten system fsck --format json")
ARGS = (0, 0)
OPTIONS = (
    ("format", "", "str", "json", "Only 'json': what is found, one object a line, for programs"),
    ("quiet", "q", "bool", "", "Only problems"),
    ("repair", "", "bool", "", "Mend what can be mended"),
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    query = {"repair": "true"} if arguments.on("repair") else None
    answer = session.transport.request("POST", "/corten/fsck", query=query)
    raw, quiet = arguments.text("format") == "json", arguments.on("quiet")
    summary = None
    for line in answer.json_stream():
        if "error" in line:
            raise CortenError(line["error"])
        summary = line.get("summary", summary)
        if raw:
            if "step" not in line:
                from corten.client import jsontext

                print(jsontext.dumps(line).decode(), flush=True)
        elif "problem" in line:
            _clear()
            _show(line["problem"])
        elif "step" in line and not quiet:
            _progress(line["step"])
    _clear()
    if summary is None:
        raise CortenError("the engine ended before the check did: run it again")
    if not raw and not quiet:
        _tell(summary)
    return 1 if summary["left"] else 0


def _show(problem: Json) -> None:
    print(f"{problem['kind']} {problem['subject']}: {problem['problem']}")
    if problem["repaired"]:
        print(f"  repaired: {problem['repaired']}")
    elif problem["remedy"]:
        print(f"  what to do: {problem['remedy']}")


def _tell(summary: Json) -> None:
    if not summary["problems"]:
        print(f"{summary['checked']} objects checked: all is well")
        return
    print(
        f"{summary['checked']} objects checked: {summary['problems']} problems, "
        f"{summary['repaired']} repaired, {summary['left']} left"
    )


def _progress(step: Json) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[Kchecking {step['stage']}: {step['done']} of {step['total']}", end="", file=sys.stderr)
        sys.stderr.flush()


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
