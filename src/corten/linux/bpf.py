"""bpf(2): device programs of cgroup v2. An assembler for the instructions they need, load, attach, detach.

https://docs.kernel.org/bpf/standardization/instruction-set.html,
https://docs.kernel.org/admin-guide/cgroup-v2.html#device-controller
"""

from __future__ import annotations

import ctypes
import os
import struct

from corten.linux.syscall import NUMBER, failure, raw

BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_GET_FD_BY_ID, BPF_PROG_QUERY = 5, 8, 9, 13, 16
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
BPF_DEVCG_DEV = {"b": 1, "c": 2}
BPF_DEVCG_ACC = {"m": 1, "r": 2, "w": 4}
_MAX_PROGRAMS = 64

# Opcodes: LDX word, 32-bit AND/RSH with a constant, AND/MOV with a register, MOV constant, jumps, EXIT.
_LDXW, _AND32_K, _RSH32_K, _AND32_X, _MOV32_X, _MOV32_K = 0x61, 0x54, 0x74, 0x5C, 0xBC, 0xB4
_JNE_K, _JNE_X, _JEQ_K, _EXIT = 0x55, 0x5D, 0x15, 0x95

_bpf = raw("bpf", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, constant: int = 0) -> bytes:
    """`struct bpf_insn { __u8 code; __u8 dst_reg:4, src_reg:4; __s16 off; __s32 imm; }`."""
    return struct.pack("<BBhi", code, source << 4 | target, offset, constant)


def device_program(allow: bool, exceptions: tuple[tuple[tuple[str, int, int], str], ...]) -> bytes:
    """The program that answers 1 (may) or 0 for `struct bpf_cgroup_dev_ctx { access_type, major, minor }`.

    `exceptions` are ((type, major or -1, minor or -1), access); for them it is the contrary of `allow`.
    """
    program = [
        _instruction(_LDXW, 2, 1, 0),  # r2 = access << 16 | type
        _instruction(_MOV32_X, 3, 2),
        _instruction(_AND32_K, 2, constant=0xFFFF),  # r2 = type
        _instruction(_RSH32_K, 3, constant=16),  # r3 = access
        _instruction(_LDXW, 4, 1, 4),  # r4 = major
        _instruction(_LDXW, 5, 1, 8),  # r5 = minor
    ]
    for (kind, major, minor), access in exceptions:
        # Each test: (instructions before it, jump that leaves this exception).
        tests = [(b"", (_JNE_K, 2, 0, BPF_DEVCG_DEV[kind]))]
        mask = sum(BPF_DEVCG_ACC[letter] for letter in access)
        if mask != 7:
            before = _instruction(_MOV32_X, 1, 3) + _instruction(_AND32_K, 1, constant=mask)
            # Allowed: only when nothing beyond the mask is wanted. Denied: when anything in it is.
            tests.append((before, (_JEQ_K, 1, 0, 0) if allow else (_JNE_X, 1, 3, 0)))
        if major >= 0:
            tests.append((b"", (_JNE_K, 4, 0, major)))
        if minor >= 0:
            tests.append((b"", (_JNE_K, 5, 0, minor)))
        block = _instruction(_MOV32_K, 0, constant=0 if allow else 1) + _instruction(_EXIT)
        for before, (code, target, source, constant) in reversed(tests):
            block = before + _instruction(code, target, source, len(block) // 8, constant) + block
        program.append(block)
    program.append(_instruction(_MOV32_K, 0, constant=1 if allow else 0) + _instruction(_EXIT))
    return b"".join(program)


def attach_device_program(directory: str, program: bytes) -> None:
    """Load `program` and make it the only one of ours on the cgroup `directory`; it goes with the cgroup.

    Attached beside those of parents (all must allow). One that was there before is detached afterwards, so
    that no moment is without a program.
    """
    target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        before = _attached(target)
        loaded = load_device_program(program)
        try:
            request = struct.pack("=IIII", target, loaded, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)
            if _call(BPF_PROG_ATTACH, request) < 0:
                raise failure("bpf", "BPF_PROG_ATTACH", directory)
        finally:
            os.close(loaded)
        for number in before:
            _detach(target, number)
    finally:
        os.close(target)


def load_device_program(program: bytes) -> int:
    """Let the kernel verify and load `program`: a descriptor. OSError has the verifier's last words."""
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    log = ctypes.create_string_buffer(4096)
    for level in (0, 1):  # the verifier's log costs time: only when something is wrong
        request = struct.pack(
            "=IIQQIIQII16s",
            BPF_PROG_TYPE_CGROUP_DEVICE,
            len(program) // 8,
            ctypes.addressof(code),
            ctypes.addressof(licence),
            level,
            len(log) if level else 0,
            ctypes.addressof(log) if level else 0,
            0,
            0,
            b"corten_devices",
        )
        descriptor = _call(BPF_PROG_LOAD, request)
        if descriptor >= 0:
            return descriptor
    raise failure("bpf", "BPF_PROG_LOAD", log.value.decode("ascii", "replace")[-200:].strip())


def _attached(target: int) -> list[int]:
    """The numbers of the device programs attached to the cgroup itself."""
    numbers = (ctypes.c_uint32 * _MAX_PROGRAMS)()
    request = ctypes.create_string_buffer(
        struct.pack(
            "=IIIIQI", target, BPF_CGROUP_DEVICE, 0, 0, ctypes.addressof(numbers), _MAX_PROGRAMS
        ).ljust(64, b"\0"),
        64,
    )
    if _bpf(NUMBER["bpf"], BPF_PROG_QUERY, ctypes.cast(request, ctypes.c_char_p), 64) < 0:
        return []
    count: int = struct.unpack_from("=I", request.raw, 24)[0]
    return list(numbers[:count])


def _detach(target: int, number: int) -> None:
    descriptor = _call(BPF_PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
    if descriptor < 0:
        raise failure("bpf", "BPF_PROG_GET_FD_BY_ID", number)
    try:
        if _call(BPF_PROG_DETACH, struct.pack("=III", target, descriptor, BPF_CGROUP_DEVICE)) < 0:
            raise failure("bpf", "BPF_PROG_DETACH", number)
    finally:
        os.close(descriptor)


def _call(command: int, request: bytes) -> int:
    # All of `union bpf_attr` beyond what is used must be zero; an older kernel accepts such zeroes.
    padded = request.ljust(128, b"\0")
    return _bpf(NUMBER["bpf"], command, padded, len(padded))
