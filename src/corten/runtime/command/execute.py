"""`exec`: one more process in a running container."""

from __future__ import annotations

import os

from corten.errors import Conflict, InvalidArgument
from corten.oci.runtime_spec import Capabilities, Process, Spec, User, decode_process
from corten.oci.struct import replace
from corten.runtime.command.container import Container, load
from corten.runtime.command.create import send_console, write_pid
from corten.runtime.command.options import Options, Parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context

OPTIONS = Options(
    "exec [--tty] [--detach] [--user U] [--cwd DIR] [--env K=V] [--process FILE] ID COMMAND [ARGUMENTS]",
    values={
        "console-socket": "",
        "pidfd-socket": "",
        "cwd": "",
        "user": "u",
        "process": "p",
        "pid-file": "",
        "process-label": "",
        "apparmor": "",
        "preserve-fds": "",
        "cgroup": "",
    },
    lists={"env": "e", "additional-gids": "g", "cap": "c"},
    flags={"tty": "t", "detach": "d", "no-new-privs": "", "ignore-paused": "", "no-subreaper": ""},
)


def run(context: Context, arguments: list[str]) -> int:
    parsed = OPTIONS.parse(arguments, count=(1, None))
    container = load(context.root, parsed.words[0])
    status = container.status
    allowed = ("running", "created", *(("paused",) if "ignore-paused" in parsed.flags else ()))
    if status not in allowed:
        raise Conflict(f"cannot execute in container {container.record.id}: it is {status}")
    spec = container.spec()
    process = _process(parsed, spec)
    detached = "detach" in parsed.flags
    if process.terminal and detached and "console-socket" not in parsed.values:
        raise InvalidArgument("the process wants a terminal: give --console-socket to receive it")
    return _spawn(context, container, parsed, spec, process, detached)


def _process(parsed: Parsed, spec: Spec) -> Process:
    base = spec.process or Process()
    if "process" in parsed.values:
        path = parsed.values["process"]
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                return decode_process(file.read(), path)
        except OSError as error:
            raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error
    if len(parsed.words) < 2:
        raise InvalidArgument(f"name a command to execute; usage: corten-runtime {OPTIONS.usage}")
    capabilities = base.capabilities
    if "cap" in parsed.lists and capabilities is not None:
        capabilities = _with(capabilities, tuple(name.upper() for name in parsed.lists["cap"]))
    return replace(
        base,
        args=tuple(parsed.words[1:]),
        cwd=parsed.values.get("cwd") or base.cwd,
        env=(*(base.env or ()), *parsed.lists.get("env", ())),
        terminal="tty" in parsed.flags,
        user=_user(parsed, base.user),
        capabilities=capabilities,
        no_new_privileges=base.no_new_privileges or "no-new-privs" in parsed.flags,
        apparmor_profile=parsed.values.get("apparmor") or base.apparmor_profile,
        selinux_label=parsed.values.get("process-label") or base.selinux_label,
    )


def _with(base: Capabilities, names: tuple[str, ...]) -> Capabilities:
    return Capabilities(
        bounding=(*(base.bounding or ()), *names),
        effective=(*(base.effective or ()), *names),
        permitted=(*(base.permitted or ()), *names),
        inheritable=base.inheritable,
        ambient=base.ambient,
    )


def _user(parsed: Parsed, base: User) -> User:
    try:
        extra = tuple(int(text) for text in parsed.lists.get("additional-gids", ()))
    except ValueError:
        raise InvalidArgument("--additional-gids needs a number") from None
    groups = (*(base.additional_gids or ()), *extra)
    text = parsed.values.get("user")
    if text is None:
        return replace(base, additional_gids=groups)
    return User(username=text, additional_gids=groups, umask=base.umask)


def _spawn(
    context: Context, container: Container, parsed: Parsed, spec: Spec, process: Process, detached: bool
) -> int:
    from corten.runtime.execute import spawn
    from corten.runtime.plan import compile_exec

    record = container.record
    group = container.cgroup()
    plan = compile_exec(
        process,
        container_pid=record.pid,
        container_start=record.pid_start,
        spec=spec,
        cgroup=None if group is None else group.plan(),
        preserve_fds=parsed.number("preserve-fds"),
        death_signal=0,
        seccomp_cache=context.seccomp_cache,
        chroot=record.no_pivot,
    )
    foreground = None
    if not detached:
        from corten.runtime.command.foreground import Foreground

        foreground = Foreground()
    spawned = spawn(plan, stdio=(0, 1, 2), console=process.terminal)
    for warning in spawned.warnings:
        context.tell("warning", warning)
    try:
        if "console-socket" in parsed.values:
            send_console(parsed.values["console-socket"], spawned)
        if "pid-file" in parsed.values:
            write_pid(parsed.values["pid-file"], spawned.pid)
    except BaseException:
        os.kill(spawned.pid, 9)
        os.waitpid(spawned.pid, 0)
        raise
    return 0 if foreground is None else foreground.wait(spawned)
