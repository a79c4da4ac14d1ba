"""Entry point: global options, then the verb's module."""

from __future__ import annotations

import os
import sys

from corten.errors import (
    CommandNotExecutable,
    CommandNotFound,
    CortenError,
    Denied,
    InvalidArgument,
    Unsupported,
    status_of,
)
from corten.runtime.command.options import Options

VERBS = {
    "checkpoint": "unsupported",
    "create": "create",
    "delete": "delete",
    "events": "events",
    "exec": "execute",
    "features": "features",
    "kill": "kill",
    "list": "list_containers",
    "pause": "pause",
    "ps": "processes",
    "restore": "unsupported",
    "resume": "pause",
    "run": "create",
    "spec": "spec",
    "start": "start",
    "state": "state",
    "update": "update",
}
_ENTERING = ("create", "run", "exec")  # what puts a process into a container
OPTIONS = Options(
    "[--root DIR] [--log FILE] [--log-format text|json] [--debug] COMMAND [ARGUMENTS]",
    values={"root": "", "log": "", "log-format": "", "rootless": "", "criu": ""},
    flags={"debug": "", "systemd-cgroup": "", "help": "h", "version": "v"},
)
HELP = """\
corten-runtime: an OCI container runtime with runc's command line

usage: corten-runtime [OPTIONS] COMMAND [ARGUMENTS]

commands:
  create     make a container from a bundle; it waits for `start`
  start      run the command of a created container
  run        create and start
  exec       run one more process in a container
  state      print a container's state (JSON)
  list       list the containers
  ps         list a container's processes
  kill       send a signal to a container
  delete     remove a container that has stopped
  pause      freeze a container's processes
  resume     go on with them
  update     change a container's limits
  events     print a container's statistics
  spec       write a config.json to begin with
  features   print what this runtime can do (JSON)

options:
  --root DIR          where states are kept (default: $XDG_RUNTIME_DIR/corten-runtime or /run/corten-runtime)
  --log FILE          write errors there as well
  --log-format FORMAT text or json
  --debug             say more
  --rootless BOOL     accepted; whether limits can be kept is found out

example:
  corten-runtime run --bundle /tmp/bundle first
"""


class Context:
    """What the global options say."""

    def __init__(self, root: str, log: str, log_format: str, verb: str) -> None:
        self.root = root
        self.log = log
        self.log_format = log_format
        self.verb = verb

    @property
    def seccomp_cache(self) -> str:
        """Where compiled filters are kept: no name of a container has its first character."""
        return os.path.join(self.root, "@seccomp")

    def tell(self, level: str, message: str) -> None:
        """One line to standard error, and one to the log."""
        sys.stderr.write(f"corten-runtime: {message}\n")
        if not self.log:
            return
        import json
        import time

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.log_format == "json":
            line = json.dumps({"level": level, "msg": message, "time": stamp})
        else:
            line = f'time="{stamp}" level={level} msg={json.dumps(message)}'
        try:
            with open(self.log, "a") as file:  # noqa: PTH123
                file.write(line + "\n")
        except OSError as error:
            sys.stderr.write(f"corten-runtime: cannot write the log {self.log}: {error.strerror}\n")


def default_root() -> str:
    """Where states are kept when --root does not say."""
    if os.geteuid() == 0:
        return "/run/corten-runtime"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/corten-runtime" if runtime else _own_directory(f"/tmp/corten-runtime-{os.geteuid()}")


def _own_directory(path: str) -> str:
    """`path`, made if it is not there; Denied when it is somebody else's (/tmp is everybody's)."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if found.st_uid != os.geteuid() or found.st_mode & 0o170022 != 0o040000:
            raise Denied(f"{path} is not a directory of this user's own: give --root, or remove it") from None
    return path


def main(arguments: list[str] | None = None, *, light: bool = False) -> int:
    """The command; returns the exit status. With `light`, this process never needs msgspec."""
    context = Context("", "", "text", "")
    words = sys.argv[1:] if arguments is None else arguments
    try:
        parsed, rest = OPTIONS.parse_leading(words)
        context = Context(
            parsed.values.get("root") or default_root(),
            parsed.values.get("log", ""),
            parsed.values.get("log-format", "text"),
            rest[0] if rest else "",
        )
        if "version" in parsed.flags:
            return _version()
        if "help" in parsed.flags or not rest or rest[0] in ("help", "--help", "-h"):
            sys.stdout.write(HELP)
            return 0
        if "systemd-cgroup" in parsed.flags:
            raise Unsupported("--systemd-cgroup is not implemented: use the cgroupfs driver")
        if rest[0] not in VERBS:
            raise InvalidArgument(f"there is no command {rest[0]!r}; see corten-runtime --help")
        if rest[0] in _ENTERING:
            from corten.runtime.reexec import protect

            protect(words)
        if light:
            from corten.oci import light_struct  # noqa: F401
        module = __import__(f"corten.runtime.command.{VERBS[rest[0]]}", fromlist=["run"])
        status: int = module.run(context, rest[1:])
        sys.stdout.flush()
        return status
    except CortenError as error:
        context.tell("error", error.message)
        if isinstance(error, CommandNotFound | CommandNotExecutable):
            return status_of(error)[2]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        where = f": {error.filename}" if error.filename is not None else ""
        context.tell("error", f"{context.verb}: {error.strerror}{where}")
    return 1


def _version() -> int:
    from corten.oci.runtime_spec import VERSION

    sys.stdout.write(f"corten-runtime version {version()}\nspec: {VERSION}\n")
    return 0


def version() -> str:
    """The version of the package (read off it: this layer imports nothing from above)."""
    return str(sys.modules["corten"].__version__)


def entry() -> None:
    """The program: nothing outlives it, so the interpreter is not taken down piece by piece."""
    import gc

    gc.disable()
    status = main(light=True)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    os._exit(status)


if __name__ == "__main__":
    entry()
