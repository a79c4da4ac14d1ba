"""corten doctor: what this host lacks for containers, and the command that mends it."""

from __future__ import annotations

import os
import sys

from corten.cli.manual import Style

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten doctor [OPTIONS]"
DETAIL = """\
It works without an engine. The exit code is 1 when something is missing without which no container can
run."""
EXAMPLES = ("corten doctor", "corten doctor --format json")
ARGS = (0, 0)
OPTIONS = (("format", "f", "str", "json", "Only 'json': for programs"),)
# The checks belong to the engine, which the command line does not load into itself.
_PROGRAM = (
    "import sys, msgspec\n"
    "from corten.engine.doctor import checks\n"
    "sys.stdout.buffer.write(msgspec.json.encode(checks()))\n"
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    found = session.get("/corten/doctor") if os.environ.get("CORTEN_HOST") else _local()
    if arguments.text("format") == "json":
        from corten.cli.listing import print_json

        print_json(found)
    else:
        _show(found)
    return 1 if any(not check["ok"] and check.get("fatal") for check in found) else 0


def _local() -> Json:
    import subprocess

    from corten.client import jsontext
    from corten.client.autostart import python_command
    from corten.errors import Unavailable

    result = subprocess.run(python_command(_PROGRAM), capture_output=True, check=False)
    if result.returncode:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise Unavailable(f"the checks could not be run: {lines[-1]}")
    return jsontext.loads(result.stdout)


def _show(found: Json) -> None:
    style = Style()
    colours = {"ok": "\x1b[32m", "warn": "\x1b[33m", "FAIL": "\x1b[1;31m"}
    for check in found:
        word = "ok" if check["ok"] else "FAIL" if check.get("fatal") else "warn"
        mark = f"{colours[word]}{word:>4}\x1b[0m" if style.on else f"{word:>4}"
        print(f"{mark}  {style.name(check['name'])}: {check['detail']}")
        if not check["ok"] and check.get("remedy"):
            print(f"      mend it by:  {style.name(check['remedy'])}")
    bad = sum(not check["ok"] for check in found)
    print()
    if not bad:
        print("this host has everything")
    else:
        fatal = sum(not check["ok"] and bool(check.get("fatal")) for check in found)
        print(
            f"{bad} of {len(found)} checks found something missing, {fatal} of it essential", file=sys.stdout
        )
