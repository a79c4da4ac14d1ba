"""The entry point: finds the command, imports its module alone, runs it, and turns errors into sentences."""

from __future__ import annotations

import os
import sys

from corten.cli import commands, options
from corten.errors import CortenError, Unavailable, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

GLOBAL_OPTIONS: tuple[options.Option, ...] = (
    (
        "host",
        "H",
        "str",
        "ADDRESS",
        "The engine's address (unix:///path or tcp://host:port); also $CORTEN_HOST",
    ),
    ("debug", "D", "bool", "", "Show tracebacks of failures; also CORTEN_DEBUG=1"),
    ("version", "v", "bool", "", "Print the version"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `corten` with the arguments after its name (default: sys.argv's); returns the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None or sys.stderr is None or sys.stdin is None:
        _open_streams()
    try:
        try:
            code = _dispatch(tokens)
            sys.stdout.flush()
            return code
        except options.UsageError as error:
            # Docker exits with 125 for what it cannot understand, whatever the command.
            print(f"corten: {error.message}\nSee 'corten {_words(tokens)}--help'.", file=sys.stderr)
            return 125
        except CortenError as error:
            return _report(error, tokens)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _silence()
        return 141
    except OSError as error:
        return _last_resort(error)
    except Exception as error:  # the last resort: a person gets a sentence, never a traceback
        return _last_resort(error)


def entry() -> None:
    """What the `corten` script calls: runs the command and ends the process, without taking the interpreter
    apart."""
    code = 1
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        code = 141
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _words(tokens: Sequence[str]) -> str:
    """The command's own words at the front of `tokens`, for a pointer to its help."""
    words = [token for token in tokens if not token.startswith("-")]
    if not words or commands.find(words[0]) is None:
        return ""
    found = words[0]
    for word in words[1:]:
        if found not in commands.SUBCOMMANDS or commands.find_sub(found, word) is None:
            break
        found = f"{found} {word}"
    return f"{found} "


def _dispatch(tokens: list[str]) -> int:
    try:
        globals_ = options.parse(tokens, GLOBAL_OPTIONS, interspersed=False)
    except options.HelpWanted:
        return _help([])
    if globals_.has("host"):
        os.environ["CORTEN_HOST"] = globals_.text("host")
    if globals_.on("debug"):
        os.environ["CORTEN_DEBUG"] = "1"
    rest = globals_.rest
    if globals_.on("version"):
        from corten.version import __version__

        print(f"corten {__version__}")
        return 0
    if not rest or rest[0] == "help":
        return _help(rest[1:])
    name, rest = rest[0], rest[1:]
    module = commands.find(name)
    if module is None:
        raise options.UsageError(f"{name!r} is not a corten command{_near(name, _all_commands())}")
    if module:
        return run_command(module, rest, [name])
    return _group(name, rest)


def _group(name: str, rest: list[str]) -> int:
    if not rest or rest[0] in ("-h", "--help"):
        return _help(name.split())
    module = commands.find_sub(name, rest[0])
    if module is None:
        known = [sub for sub, _module, _summary in commands.SUBCOMMANDS[name]]
        raise options.UsageError(f"'{name} {rest[0]}' is not a corten command{_near(rest[0], known)}")
    if not module:
        return _group(f"{name} {rest[0]}", rest[1:])
    return run_command(module, rest[1:], [*name.split(), rest[0]])


def run_command(module_name: str, tokens: list[str], words: list[str]) -> int:
    """Parses `tokens` by the table of the command's module and runs it."""
    module = __import__(f"corten.cli.command.{module_name}", fromlist=("run",))
    try:
        arguments = options.parse(tokens, module.OPTIONS, interspersed=getattr(module, "INTERSPERSED", True))
    except options.HelpWanted:
        return _help(words)
    least, most = module.ARGS
    count = len(arguments.rest)
    if count < least or (most is not None and count > most):
        raise options.UsageError(_count_message(" ".join(words), least, most))
    from corten.cli.session import Session

    session = Session()
    try:
        code: int = module.run(session, arguments)
    finally:
        session.close()
    return code


def _count_message(command: str, least: int, most: int | None) -> str:
    if most == least:
        need = f"exactly {least} argument{'s' * (least != 1)}" if least else "no arguments"
        verb = "accepts" if not least else "requires"
        return f"'corten {command}' {verb} {need}"
    if most is None:
        return f"'corten {command}' requires at least {least} argument{'s' * (least != 1)}"
    return f"'corten {command}' requires at least {least} and at most {most} argument{'s' * (most != 1)}"


def _help(words: list[str]) -> int:
    from corten.cli import manual

    return manual.show(words)


def _all_commands() -> list[str]:
    return [command for _title, members in commands.GROUPS for command, _module, _summary in members]


def _near(word: str, known: list[str]) -> str:
    from corten.cli.suggestion import closest

    near = closest(word, known)
    return f", did you mean {near!r}?" if near else ""


def _report(error: CortenError, tokens: Sequence[str]) -> int:
    """One sentence on stderr and the exit code of the error's class; run and exec have Docker's 125 to
    127."""
    if os.environ.get("CORTEN_DEBUG"):
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    code = status_of(error)[2]
    if isinstance(error, Unavailable):
        code = 1
    words = [token for token in tokens if not token.startswith("-")][:2]
    if words[:1] == ["run"] or words == ["container", "run"]:
        code = code if code in (126, 127) else 125
    print(f"corten: {error.message}", file=sys.stderr)
    return code or 1


def _open_streams() -> None:
    """The caller has closed stdin, stdout or stderr: in its place comes /dev/null, before a socket does."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(os.dup(0))
    sys.stdout = sys.stdout or os.fdopen(os.dup(1), "w")
    sys.stderr = sys.stderr or os.fdopen(os.dup(2), "w")


def _silence() -> None:
    """The reader of stdout is gone: what the interpreter still wants to flush at its end goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)


def _last_resort(error: Exception) -> int:
    if os.environ.get("CORTEN_DEBUG"):
        import traceback

        traceback.print_exc()
        return 1
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        print(f"corten: {error.strerror or error}{where}", file=sys.stderr)
    else:
        print(
            f"corten: an error that should not happen: {type(error).__name__}: {error}"
            " (CORTEN_DEBUG=1 shows where; please report it)",
            file=sys.stderr,
        )
    return 1
