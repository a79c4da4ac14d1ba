"""System call filters: the OCI specification's `seccomp` to a classic BPF program, compiled once and kept.

As runc does it, in three points beyond the specification: the native architecture is always in; a rule that
names one argument several times is satisfied by any of these comparisons; and where the default refuses, a
call newer than every one the profile names fails with ENOSYS, so that programs fall back instead of giving
up. https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#seccomp
"""

from __future__ import annotations

import errno
import os

from corten.errors import InvalidArgument, Unsupported
from corten.linux import syscall_table
from corten.linux.syscall import MACHINE
from corten.oci.runtime_spec import Seccomp, Syscall, SyscallArg, encode
from corten.runtime import seccomp_bpf as bpf

_VERSION = b"2"  # of what this module makes of a profile: a program on disk is of this version
_ACTIONS = {
    "SCMP_ACT_KILL": bpf.RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": bpf.RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": bpf.RET_TRAP,
    "SCMP_ACT_ERRNO": bpf.RET_ERRNO,
    "SCMP_ACT_TRACE": bpf.RET_TRACE,
    "SCMP_ACT_LOG": bpf.RET_LOG,
    "SCMP_ACT_ALLOW": bpf.RET_ALLOW,
    "SCMP_ACT_NOTIFY": bpf.RET_USER_NOTIF,
}
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_PERMISSIVE = (bpf.RET_ALLOW, bpf.RET_LOG)
_ARCHITECTURES = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}
# What a machine can run; other architectures of a profile cannot occur.
_RUNNABLE = {"x86_64": ("x86_64", "i386", "x32"), "aarch64": ("aarch64", "arm")}
_OPERATORS = {
    "SCMP_CMP_NE": "NE",
    "SCMP_CMP_LT": "LT",
    "SCMP_CMP_LE": "LE",
    "SCMP_CMP_EQ": "EQ",
    "SCMP_CMP_GE": "GE",
    "SCMP_CMP_GT": "GT",
}
_MAX64 = 0xFFFFFFFFFFFFFFFF
TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
else:  # without `hashlib`, which loads OpenSSL
    try:
        from _sha2 import sha256
    except ImportError:  # before Python 3.12
        from _sha256 import sha256
_memory: dict[bytes, bytes] = {}
# The very objects that come again and again (they are frozen): not even the hash has to be worked out.
_objects: dict[int, tuple[Seccomp, tuple[str, bool], bytes]] = {}


def compile_filter(
    seccomp: Seccomp, *, cache: str | None = None, machine: str | None = None, x32: bool = True
) -> bytes:
    """The BPF program (array of struct sock_filter) for `seccomp`, for this machine.

    Without `x32`, the kernel knows no such calls, and a third of the program is not needed.

    Kept in memory and, where `cache` names a directory, on disk, by the hash of what it was made from.
    Raises InvalidArgument for what the specification does not know, Unsupported for an unknown machine.
    """
    machine = machine or MACHINE
    if (found := _objects.get(id(seccomp))) and found[0] is seccomp and found[1] == (machine, x32):
        return found[2]
    key = sha256(b"\0".join((_VERSION, machine.encode(), b"x32" * x32, encode(seccomp)))).digest()
    if key in _memory:
        if len(_objects) >= 64:
            _objects.clear()
        _objects[id(seccomp)] = (seccomp, (machine, x32), _memory[key])
        return _memory[key]
    path = f"{cache}/{key.hex()}.bpf" if cache else None
    program = _read(path) if path else b""
    if not program:
        program = _compile(seccomp, machine, x32=x32)
        if path:
            _store(path, program)
    _memory[key] = program
    return program


def _compile(seccomp: Seccomp, machine: str, *, x32: bool) -> bytes:
    if machine not in _RUNNABLE:
        raise Unsupported(f"no seccomp filters for {machine} yet: use --security-opt seccomp=unconfined")
    default = _action(seccomp.default_action, seccomp.default_errno_ret)
    wanted = [machine]
    for name in seccomp.architectures or ():
        if not name.startswith("SCMP_ARCH_"):
            raise InvalidArgument(f"unknown seccomp architecture {name!r}")
        architecture = _ARCHITECTURES.get(name, "")
        if architecture in _RUNNABLE[machine] and architecture not in wanted:
            wanted.append(architecture)
    rules = [(rule, *_rule(rule)) for rule in seccomp.syscalls or ()]
    tables = []
    for architecture in wanted:
        if architecture == "x32":
            continue
        cuts = _cuts(architecture, rules, default)
        if architecture == "x86_64":
            # x32 calls are x86_64's with a bit set: another table, or a foreign architecture.
            outcome = bpf.Outcome(bpf.RET_KILL_PROCESS)
            if "x32" in wanted and not x32:
                outcome = bpf.Outcome(bpf.RET_ERRNO | errno.ENOSYS)
            other: tuple[tuple[int, bpf.Outcome], ...] = ((syscall_table.X32_SYSCALL_BIT, outcome),)
            if "x32" in wanted and x32:
                other = tuple(cut for cut in _cuts("x32", rules, default) if cut[0] >= other[0][0])
            below = (cut for cut in cuts if cut[0] < syscall_table.X32_SYSCALL_BIT)
            cuts = (*below, *other)
        tables.append(bpf.Table(syscall_table.AUDIT_ARCH[architecture], cuts))
    return bpf.assemble(tuple(tables))


_Rules = list[tuple[Syscall, int, tuple[bpf.Conditional, ...]]]


def _cuts(architecture: str, rules: _Rules, default: int) -> tuple[tuple[int, bpf.Outcome], ...]:
    numbers = syscall_table.numbers(architecture)
    always: dict[int, int] = {}
    sometimes: dict[int, list[bpf.Conditional]] = {}
    newest = -1
    for rule, action, conditionals in rules:
        for name in rule.names:
            number = numbers.get(name)
            if number is None:  # of another architecture, or newer than this table
                continue
            if number & 0xF0000 != 0xF0000:  # arm's private calls are no measure of age
                newest = max(newest, number)
            if conditionals:
                sometimes.setdefault(number, []).extend(conditionals)
            else:
                always.setdefault(number, action)
    outcomes = {number: bpf.Outcome(default, tuple(some)) for number, some in sometimes.items()}
    # A rule without conditions covers those with, whatever their order (as in libseccomp).
    outcomes |= {number: bpf.Outcome(action) for number, action in always.items()}
    base = syscall_table.X32_SYSCALL_BIT if architecture == "x32" else 0
    beyond = {base: outcomes.get(base, bpf.Outcome(default))}
    if default not in _PERMISSIVE and newest >= 0:
        unknown = bpf.Outcome(bpf.RET_ERRNO | errno.ENOSYS)
        beyond[newest + 1] = unknown
        private = {number: outcome for number, outcome in outcomes.items() if number > newest}
        for number, outcome in private.items():
            beyond[number] = outcome
            beyond.setdefault(number + 1, private.get(number + 1, unknown))
    return bpf.ranges(outcomes, bpf.Outcome(default), beyond)


def _rule(rule: Syscall) -> tuple[int, tuple[bpf.Conditional, ...]]:
    action = _action(rule.action, rule.errno_ret)
    arguments = rule.args or ()
    if not arguments:
        return action, ()
    comparisons = [_comparison(argument) for argument in arguments]
    if len({comparison.index for comparison in comparisons}) < len(comparisons):
        return action, tuple(bpf.Conditional((comparison,), action) for comparison in comparisons)
    return action, (bpf.Conditional(tuple(comparisons), action),)


def _action(name: str, errno_ret: int | None) -> int:
    if name not in _ACTIONS:
        raise InvalidArgument(f"unknown seccomp action {name!r}")
    if name not in _WITH_ERRNO:
        if errno_ret:
            raise InvalidArgument(f"errnoRet does not go with the seccomp action {name}")
        return _ACTIONS[name]
    number = errno.EPERM if errno_ret is None else errno_ret
    if not 0 <= number <= 4095:
        raise InvalidArgument(f"errnoRet of the seccomp action {name} is not an error number: {number}")
    return _ACTIONS[name] | number


def _comparison(argument: SyscallArg) -> bpf.Comparison:
    if not 0 <= argument.index <= 5:
        raise InvalidArgument(f"a system call has arguments 0 to 5, not {argument.index}")
    if not (0 <= argument.value <= _MAX64 and 0 <= argument.value_two <= _MAX64):
        raise InvalidArgument(
            f"a seccomp value is not a 64-bit number: {argument.value}, {argument.value_two}"
        )
    if argument.op == "SCMP_CMP_MASKED_EQ":
        value = argument.value_two & argument.value
        if value != argument.value_two:
            # No masked argument can be equal to it.
            return bpf.Comparison(argument.index, "GT", _MAX64)
        return bpf.Comparison(argument.index, "EQ", value, argument.value)
    if argument.op not in _OPERATORS:
        raise InvalidArgument(f"unknown seccomp operator {argument.op!r}")
    return bpf.Comparison(argument.index, _OPERATORS[argument.op], argument.value)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            program = file.read()
    except OSError:
        return b""
    return program if program and len(program) % 8 == 0 else b""


def _store(path: str, program: bytes) -> None:
    """Atomically; a cache that cannot be written is no error."""
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        try:
            with open(temporary, "wb") as file:  # noqa: PTH123
                file.write(program)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
    except OSError:
        pass
