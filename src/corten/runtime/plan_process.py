"""Compile the process: its user, limits, capabilities, labels, filter, and the command itself."""

from __future__ import annotations

import os
import resource

from corten.errors import InvalidArgument, Unsupported
from corten.linux import capability as c
from corten.linux import seccomp as s
from corten.oci.runtime_spec import Capabilities, IOPriority, Process, Scheduler, Seccomp, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.runtime.plan import Draft

_NUMBERS = {name: number for number, name in enumerate(c.NAMES)}
_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
}
_POLICIES["SCHED_DEADLINE"] = 6
_SCHED_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 1,
    "SCHED_FLAG_RECLAIM": 2,
    "SCHED_FLAG_DL_OVERRUN": 4,
    "SCHED_FLAG_KEEP_POLICY": 8,
    "SCHED_FLAG_KEEP_PARAMS": 16,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 32,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 64,
}
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_PERSONALITIES = {"LINUX": 0, "LINUX32": 8}
_HAS_X32 = s.has_x32()
_SECCOMP_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": s.SECCOMP_FILTER_FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": s.SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": s.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0,
}


def compile_identity(draft: Draft, process: Process) -> None:
    """Everything up to the point where the process may wait for its start."""
    if not process.args:
        raise InvalidArgument("the process has no arguments: name a command")
    if not os.path.isabs(process.cwd or ""):
        raise InvalidArgument(f"the working directory must be an absolute path, not {process.cwd!r}")
    draft.add("environment", _environment(process))
    user = process.user
    home = not any(item.startswith("HOME=") for item in process.env or ())
    extra = (*(user.additional_gids or ()), *(user.additional_groups or ()))
    draft.add("resolve_user", user.username, user.uid, user.gid, extra, home)
    draft.add("working_directory", os.fsencode(process.cwd))
    draft.add("look_up", tuple(os.fsencode(argument) for argument in process.args))


def _environment(process: Process) -> tuple[tuple[bytes, bytes], ...]:
    result = []
    for item in process.env or ():
        name, separator, value = item.partition("=")
        if "\0" in item:
            raise InvalidArgument(f"the environment variable {name!r} has a zero byte in it")
        if name and separator:
            result.append((os.fsencode(name), os.fsencode(value)))
    return tuple(result)


def compile_finish(draft: Draft, process: Process, spec: Spec, *, init: bool, preserve_fds: int) -> None:
    """From the start to exec: limits, scheduling, labels, filter, user, capabilities, command."""
    linux = spec.linux
    if process.rlimits:
        draft.add("set_rlimits", tuple(_rlimit(item.type, item.soft, item.hard) for item in process.rlimits))
    _compile_scheduling(draft, process)
    if linux is not None and linux.personality is not None:
        draft.add("set_personality", _personality(linux.personality.domain))
    _compile_labels(draft, process)
    draft.add("prepare_exec", 0o022 if process.user.umask is None else process.user.umask, preserve_fds)
    program, flags = _filter(draft, spec)
    if program and not process.no_new_privileges:
        draft.add("seccomp", program, flags)
    _compile_capabilities(draft, process)
    if process.no_new_privileges:
        draft.add("no_new_privileges")
        if program:
            draft.add("seccomp", program, flags)
    if init:
        draft.add("init")


def _rlimit(name: str, soft: int, hard: int) -> tuple[int, str, int, int]:
    number = getattr(resource, name, None)
    if not name.startswith("RLIMIT_") or not isinstance(number, int):
        extra = {"RLIMIT_LOCKS": 10}
        if name not in extra:
            raise InvalidArgument(f"there is no resource limit {name!r}")
        number = extra[name]
    if 0 <= hard < soft:
        raise InvalidArgument(f"{name}: the soft limit {soft} is above the hard limit {hard}")
    return number, name, _limit(soft), _limit(hard)


def _limit(value: int) -> int:
    """The specification's limits are unsigned; Python's resource module has -1 for infinity."""
    return -1 if value >= 2**63 - 1 or value < 0 else value


def _compile_scheduling(draft: Draft, process: Process) -> None:
    if process.scheduler is not None:
        draft.add("set_scheduler", *_scheduler(process.scheduler))
    if process.io_priority is not None:
        draft.add("set_ioprio", _io_priority(process.io_priority))
    affinity = process.exec_cpu_affinity
    if affinity is not None and (affinity.final or affinity.initial):
        draft.add("set_affinity", parse_cpus(affinity.final or affinity.initial or ""))


def _scheduler(value: Scheduler) -> tuple[int, ...]:
    if value.policy not in _POLICIES:
        raise InvalidArgument(f"there is no scheduling policy {value.policy!r}")
    flags = 0
    for flag in value.flags or ():
        if flag not in _SCHED_FLAGS:
            raise InvalidArgument(f"there is no scheduling flag {flag!r}")
        flags |= _SCHED_FLAGS[flag]
    policy = _POLICIES[value.policy]
    return policy, flags, value.nice, value.priority, value.runtime, value.deadline, value.period


def _io_priority(value: IOPriority) -> int:
    if value.class_ not in _IO_CLASSES or not 0 <= value.priority <= 7:
        raise InvalidArgument(f"there is no I/O priority {value.class_} {value.priority}")
    return _IO_CLASSES[value.class_] << 13 | value.priority


def parse_cpus(text: str) -> tuple[int, ...]:
    """ "0-2,7" → (0, 1, 2, 7)."""
    result: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise InvalidArgument(f"{text!r} is not a list of CPUs")
        result += range(int(first), int(last or first) + 1)
    return tuple(result)


def _personality(domain: str) -> int:
    if domain not in _PERSONALITIES:
        raise InvalidArgument(f"there is no personality {domain!r}: it must be LINUX or LINUX32")
    return _PERSONALITIES[domain]


def _compile_labels(draft: Draft, process: Process) -> None:
    if process.apparmor_profile:
        if not os.path.exists("/sys/kernel/security/apparmor"):
            raise Unsupported(
                f"cannot use AppArmor profile {process.apparmor_profile}: this host has no AppArmor"
            )
        draft.add("set_label", b"apparmor", b"exec " + os.fsencode(process.apparmor_profile))
    if process.selinux_label:
        if not os.path.exists("/sys/fs/selinux/enforce"):
            raise Unsupported(f"cannot use SELinux label {process.selinux_label}: this host has no SELinux")
        draft.add("set_label", b"selinux", os.fsencode(process.selinux_label))


# What Python and libc call between the filter and execve(2), see `linux.vfork`; and to tell a failure.
_NEEDED = {
    *("brk", "capget", "capset", "execve", "exit_group", "futex", "getsockname", "getsockopt", "madvise"),
    *("mmap", "mprotect", "mremap", "munmap", "prctl", "rt_sigprocmask", "sendto", "setgroups", "setresgid"),
    *("setresuid", "write"),
}


def _allows_python(seccomp: Seccomp) -> bool:
    """Does the filter let a process that shares its parent's memory come to its exec?"""
    allowing = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
    allowed: set[str] = set(_NEEDED) if seccomp.default_action in allowing else set()
    refused: set[str] = set()
    for rule in seccomp.syscalls or ():
        if rule.action not in allowing:
            refused.update(rule.names)
        elif not rule.args:
            allowed.update(rule.names)
    return _NEEDED.issubset(allowed - refused)


def _filter(draft: Draft, spec: Spec) -> tuple[bytes, int]:
    seccomp = spec.linux.seccomp if spec.linux else None
    if seccomp is None:
        return b"", 0
    if seccomp.listener_path or any(item.action == "SCMP_ACT_NOTIFY" for item in seccomp.syscalls or ()):
        raise Unsupported("the seccomp action SCMP_ACT_NOTIFY is not implemented")
    draft.may_share = _allows_python(seccomp)
    flags = 0
    for flag in seccomp.flags or ():
        if flag not in _SECCOMP_FLAGS:
            raise InvalidArgument(f"there is no seccomp flag {flag!r}")
        flags |= _SECCOMP_FLAGS[flag]
    from corten.runtime.seccomp import compile_filter

    return compile_filter(seccomp, cache=draft.seccomp_cache, x32=_HAS_X32), flags


def _compile_capabilities(draft: Draft, process: Process) -> None:
    wanted = process.capabilities
    draft_keep = wanted is not None
    if wanted is not None:
        last = c.last_capability()
        bounding = _mask(draft, wanted.bounding, last)
        drop = tuple(number for number in range(last + 1) if not bounding & 1 << number)
        if drop:
            draft.add("drop_bounding", drop)
    draft.add("set_user", draft.setgroups, draft_keep)
    if wanted is not None:
        draft.add("set_capabilities", *_sets(draft, wanted, last))


def _sets(draft: Draft, wanted: Capabilities, last: int) -> tuple[Any, ...]:
    effective = _mask(draft, wanted.effective, last)
    permitted = _mask(draft, wanted.permitted, last)
    inheritable = _mask(draft, wanted.inheritable, last)
    if effective & ~permitted:
        raise InvalidArgument(
            f"capabilities {_names(effective & ~permitted)} are effective but not permitted"
        )
    ambient = _mask(draft, wanted.ambient, last)
    refused = ambient & ~(permitted & inheritable)
    if refused:
        draft.warnings.append(f"ambient {_names(refused)} left out: not both permitted and inheritable")
    numbers = tuple(number for number in range(last + 1) if (ambient & ~refused) & 1 << number)
    return effective, permitted, inheritable, numbers


def _mask(draft: Draft, names: tuple[str, ...] | None, last: int) -> int:
    """Bits of capability names; what this kernel does not know is left out with a warning, as specified."""
    mask = 0
    for name in names or ():
        number = _NUMBERS.get(name.upper())
        if number is None or number > last:
            warning = f"capability {name} is unknown here and left out"
            if warning not in draft.warnings:
                draft.warnings.append(warning)
            continue
        mask |= 1 << number
    return mask


def _names(mask: int) -> str:
    return ", ".join(name for number, name in enumerate(c.NAMES) if mask & 1 << number)
