"""libseccomp by ctypes: what it makes of the same rules; and a machine to run classic BPF on."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import struct

from corten.oci.runtime_spec import Seccomp

_ARCH = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_X86": 0x40000003, "SCMP_ARCH_X32": 0x4000003E}
_OPS = {name: i + 1 for i, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))}


class _Cmp(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def available() -> bool:
    return ctypes.util.find_library("seccomp") is not None and os.uname().machine == "x86_64"


def _action(name: str, number: int | None) -> int:
    value = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_KILL_PROCESS": 0x80000000, "SCMP_ACT_LOG": 0x7FFC0000}
    return value[name] if name in value else 0x00050000 | (1 if number is None else number)


def compile_with_libseccomp(seccomp: Seccomp) -> bytes:
    """The program libseccomp exports, rules added one by one as runc does."""
    lib = ctypes.CDLL(ctypes.util.find_library("seccomp"))
    lib.seccomp_init.restype = ctypes.c_void_p
    default = _action(seccomp.default_action, seccomp.default_errno_ret)
    context = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(default)))
    lib.seccomp_attr_set(context, 2, ctypes.c_uint32(0x80000000))  # SCMP_FLTATR_ACT_BADARCH
    for name in seccomp.architectures or ():
        lib.seccomp_arch_add(context, ctypes.c_uint32(_ARCH[name]))
    for rule in seccomp.syscalls or ():
        action = _action(rule.action, rule.errno_ret)
        if action == default:
            continue
        arguments = [
            _Cmp(a.index, _OPS[a.op.removeprefix("SCMP_CMP_")], a.value, a.value_two) for a in rule.args or ()
        ]
        repeated = len({a.arg for a in arguments}) < len(arguments)
        for some in [[one] for one in arguments] if repeated else [arguments]:
            array = (_Cmp * max(1, len(some)))(*some)
            for name in rule.names:
                number = lib.seccomp_syscall_resolve_name(name.encode())
                if number != -1:
                    lib.seccomp_rule_add_array(
                        context, ctypes.c_uint32(action), number, ctypes.c_uint(len(some)), array
                    )
    descriptor = os.memfd_create("filter")
    assert lib.seccomp_export_bpf(context, descriptor) == 0
    lib.seccomp_release(context)
    size = os.lseek(descriptor, 0, os.SEEK_CUR)
    program = os.pread(descriptor, size, 0)
    os.close(descriptor)
    return program


def run(program: bytes, number: int, arch: int, arguments: tuple[int, ...] = ()) -> int:
    """Interpret classic BPF over a struct seccomp_data: the SECCOMP_RET_* value."""
    arguments = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        op, jt, jf, k = code[at]
        at += 1
        if op == 0x20:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif op == 0x54:
            accumulator &= k
        elif op == 0x05:
            at += k
        elif op == 0x06:
            return k
        else:
            holds = {
                0x15: accumulator == k,
                0x25: accumulator > k,
                0x35: accumulator >= k,
                0x45: bool(accumulator & k),
            }[op]
            at += jt if holds else jf
