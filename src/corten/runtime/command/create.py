"""`create` and `run`."""

from __future__ import annotations

import os

from corten.errors import CortenError, InvalidArgument
from corten.runtime.command.options import Options, Parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.oci.runtime_spec import Spec
    from corten.runtime.command.container import Container
    from corten.runtime.command.main import Context
    from corten.runtime.execute import Spawned

_VALUES = {"bundle": "b", "console-socket": "", "pid-file": "", "preserve-fds": "", "pidfd-socket": ""}
_FLAGS = {"no-pivot": "", "no-new-keyring": "", "no-subreaper": "", "no-mount-fallback": ""}
CREATE = Options(
    "create [--bundle DIR] [--console-socket SOCKET] [--pid-file FILE] ID", values=_VALUES, flags=_FLAGS
)
RUN = Options(
    "run [--bundle DIR] [--detach] [--console-socket SOCKET] [--pid-file FILE] ID",
    values=_VALUES,
    flags=_FLAGS | {"detach": "d", "keep": ""},
)


def run(context: Context, arguments: list[str]) -> int:
    """Carry out the verb."""
    running = context.verb == "run"
    parsed = (RUN if running else CREATE).parse(arguments, count=(1, 1))
    bundle = os.path.abspath(parsed.values.get("bundle", "."))
    spec = _read_spec(bundle)
    detached = not running or "detach" in parsed.flags
    _check_terminal(spec, parsed, detached)
    foreground = None
    if not detached:
        from corten.runtime.command.foreground import Foreground

        foreground = Foreground()
    container = _make(context, parsed, spec, bundle)
    try:
        spawned = _spawn(context, container, parsed, spec, hold=not running, detached=detached)
    except BaseException:
        container.remove()
        raise
    if foreground is None:
        return 0
    status = foreground.wait(spawned)
    if "keep" not in parsed.flags:
        from corten.runtime.command.delete import delete

        delete(context, container, force=True)
    return status


def _read_spec(bundle: str) -> Spec:
    from corten.oci.runtime_spec import decode

    path = os.path.join(bundle, "config.json")
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return decode(file.read(), path)
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error


def _check_terminal(spec: Spec, parsed: Parsed, detached: bool) -> None:
    terminal = spec.process is not None and spec.process.terminal
    socket = "console-socket" in parsed.values
    if terminal and detached and not socket:
        raise InvalidArgument("the process wants a terminal: give --console-socket to receive it")
    if socket and not terminal:
        raise InvalidArgument("--console-socket is for a process that wants a terminal (process.terminal)")


def _make(context: Context, parsed: Parsed, spec: Spec, bundle: str) -> Container:
    from corten.runtime.command.container import Container, Record, check_id, now

    container_id = check_id(parsed.words[0])
    root = spec.root.path if spec.root is not None else "rootfs"
    record = Record(
        id=container_id,
        bundle=bundle,
        rootfs=os.path.join(bundle, root),
        created=now(),
        annotations=spec.annotations or {},
        cgroup=_cgroup_path(spec, container_id),
        no_pivot="no-pivot" in parsed.flags,
        version=spec.oci_version,
        owner=str(os.geteuid()),
    )
    container = Container(context.root, record)
    container.make(spec)
    return container


def _cgroup_path(spec: Spec, container_id: str) -> str:
    path = spec.linux.cgroups_path if spec.linux else None
    if not path:
        return f"/corten-runtime-{container_id}"
    # As runc has it: ".." does not lead above the root, or above our own cgroup.
    clean = os.path.normpath("/" + path)
    return clean if path.startswith("/") else clean.lstrip("/")


def _spawn(
    context: Context, container: Container, parsed: Parsed, spec: Spec, *, hold: bool, detached: bool
) -> Spawned:
    from corten.runtime.cgroup.compile import compile_cgroup
    from corten.runtime.cgroup.layout import detect
    from corten.runtime.command.container import process_start
    from corten.runtime.execute import spawn
    from corten.runtime.plan import Directory, compile_plan

    record = container.record
    resources = spec.linux.resources if spec.linux else None
    group: Any = None
    if record.cgroup:
        group = compile_cgroup(record.cgroup, resources, layout=detect(), best_effort=os.geteuid() != 0)
    plan = compile_plan(
        spec,
        root=Directory(path=record.rootfs, readonly=spec.root is not None and spec.root.readonly),
        cgroup=group,
        container_id=record.id,
        bundle=record.bundle,
        hold=hold,
        no_pivot=record.no_pivot,
        new_keyring="no-new-keyring" not in parsed.flags,
        preserve_fds=_preserved(parsed),
        death_signal=0,
        seccomp_cache=context.seccomp_cache,
    )
    start_fd = None
    if hold:
        os.mkfifo(container.fifo, 0o600)
        # Open for both: reading waits for `start` although nobody else has it open.
        start_fd = os.open(container.fifo, os.O_RDWR | os.O_CLOEXEC)
    terminal = spec.process is not None and spec.process.terminal
    spawned = spawn(plan, stdio=(0, 1, 2), console=terminal, start_fd=start_fd)
    try:
        for warning in spawned.warnings:
            context.tell("warning", warning)
        record.pid, record.pid_start = spawned.pid, process_start(spawned.pid) or 0
        if "console-socket" in parsed.values:
            send_console(parsed.values["console-socket"], spawned)
        container.save()
        if "pid-file" in parsed.values:
            write_pid(parsed.values["pid-file"], spawned.pid)
    except BaseException:
        os.kill(spawned.pid, 9)
        os.waitpid(spawned.pid, 0)
        from corten.runtime.execute import cleanup

        cleanup(plan)
        raise
    return spawned


def _preserved(parsed: Parsed) -> int:
    """Descriptors for the command beside 0, 1, 2: what was asked for, and what systemd activated."""
    count = parsed.number("preserve-fds")
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        count += int(os.environ.get("LISTEN_FDS", "0"))
    return count


def send_console(path: str, spawned: Spawned) -> None:
    """Send the terminal's master to whoever listens at `path`."""
    from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket

    assert spawned.console is not None
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.connect(path)
        rights = (SOL_SOCKET, SCM_RIGHTS, spawned.console.to_bytes(4, "little"))
        connection.sendmsg([b"/dev/ptmx"], [rights])
    except OSError as error:
        raise CortenError(f"cannot send the terminal to {path}: {error.strerror}") from error
    finally:
        connection.close()


def write_pid(path: str, pid: int) -> None:
    """Write --pid-file, atomically."""
    from corten.runtime.command.container import write_atomically

    try:
        write_atomically(path, str(pid).encode())
    except OSError as error:
        raise CortenError(f"cannot write the pid file {path}: {error.strerror}") from error
