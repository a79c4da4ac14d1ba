"""corten build: an image from a Dockerfile."""

from __future__ import annotations

import os
import sys

from corten.cli.build_options import BUILD_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.build_follow import Outcome
    from corten.cli.build_steps import Display
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten build [OPTIONS] CONTEXT|URL|-"
DETAIL = """\
The context is a directory that is read in place, a git repository or the URL of an archive, or - for an
archive (or a Dockerfile alone) on stdin. What did not change since the last build is taken from the cache."""
EXAMPLES = (
    "corten build -t app .",
    "corten build -t app --build-arg VERSION=1.4 --target test -f docker/Dockerfile .",
    "corten build --secret id=token,env=TOKEN --cache-to type=registry,ref=localhost:5000/app:cache .",
    "corten build -o out --platform linux/amd64,linux/arm64 .",
    "corten build --explain . ; corten build --debug-shell . ; corten build --check .",
)
ARGS = (1, 1)
OPTIONS = BUILD_OPTIONS


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import build_context, build_follow, build_request

    request = build_request.make(arguments)
    build_request.add_proxies(request, str(session.transport.address))
    local = bool(session.transport.address.path)
    build_request.check_place(request, local)
    _check_terminal(arguments)
    iidfile, metadata = arguments.text("iidfile"), arguments.text("metadata-file")
    if iidfile and os.path.exists(iidfile):
        os.unlink(iidfile)
    chosen = build_context.choose(arguments.rest[0], arguments.text("file"), local=local)
    request |= chosen.fields
    display = _display(arguments, request)
    if specs := arguments.many("ssh"):
        from corten.cli.build_agent import Agents

        with Agents(specs) as agents:
            request["ssh"] = [{"id": name, "socket": path} for name, path in agents.sockets]
            outcome = build_follow.follow(session, request, chosen.archive, display)
    else:
        outcome = build_follow.follow(session, request, chosen.archive, display)
    return _finish(arguments, outcome, iidfile, metadata)


def _check_terminal(arguments: Arguments) -> None:
    if arguments.on("debug-shell") and not (os.isatty(0) and os.isatty(1)):
        from corten.errors import InvalidArgument

        raise InvalidArgument("--debug-shell opens a shell: it needs a terminal")


def _display(arguments: Arguments, request: dict[str, Json]) -> Display:
    """How the build is shown on stderr."""
    from corten.errors import InvalidArgument

    form = arguments.text("progress") or os.environ.get("BUILDKIT_PROGRESS") or "auto"
    if form not in ("auto", "tty", "plain", "quiet", "rawjson"):
        raise InvalidArgument(f"invalid --progress {form!r}: it is auto, tty, plain, quiet or rawjson")
    if arguments.on("quiet") or request.get("call"):
        form = "quiet"
    if form == "auto":
        form = "tty" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "plain"
    explain = arguments.on("explain")
    if form == "tty":
        from corten.cli.build_terminal import TerminalDisplay

        return TerminalDisplay(sys.stderr, explain=explain)
    if form == "plain":
        from corten.cli.build_plain import PlainDisplay

        return PlainDisplay(sys.stderr, explain=explain)
    if form == "rawjson":
        from corten.cli.build_rawjson import RawDisplay

        return RawDisplay(sys.stderr)
    from corten.cli.build_steps import Display

    return Display(sys.stderr)


def _finish(arguments: Arguments, outcome: Outcome, iidfile: str, metadata: str) -> int:
    """What is left to say and to write when the build is over."""
    last = outcome.last
    if last["type"] == "answer":
        from corten.cli.build_request import call

        if call(arguments)[1]:
            from corten.cli.listing import print_json

            print_json(last.get("value"), 2)
        else:
            sys.stdout.write(last["text"])
        return 1 if last.get("failed") else 0
    raw = arguments.text("progress") == "rawjson"
    if last["type"] == "failure":
        from corten.cli import build_failure
        from corten.errors import CortenError

        if not raw:
            build_failure.show(last, sys.stderr)
        raise CortenError(last["message"])
    if outcome.warnings and not raw and not arguments.on("quiet"):
        from corten.cli import build_failure

        build_failure.warn(outcome.warnings, sys.stderr)
    if iidfile:
        _write(iidfile, str(last["image_id"]))
    if metadata:
        import json

        _write(metadata, json.dumps(last.get("metadata") or {}, indent=2) + "\n")
    if arguments.on("quiet") and last.get("image_id"):
        print(last["image_id"])
    return 0


def _write(path: str, text: str) -> None:
    from corten.client.files import receive_file

    try:
        receive_file(iter([text.encode()]), path)
    except OSError as error:
        from corten.errors import CortenError

        raise CortenError(f"the image is built, but {path} cannot be written: {error.strerror}") from error
