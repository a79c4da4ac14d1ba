"""The compiled filter in the kernel: Docker's default profile denies what it should to a living process."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

import pytest

from corten.linux.prctl import PR_SET_NO_NEW_PRIVS, prctl
from corten.linux.seccomp import set_filter
from corten.linux.syscall_table import numbers
from corten.runtime.capabilities import DEFAULT_CAPABILITIES
from corten.runtime.seccomp import compile_filter
from corten.runtime.seccomp_profile import default_profile


def confined(function: Callable[[], int]) -> int:
    program = compile_filter(default_profile(DEFAULT_CAPABILITIES))
    pid = os.fork()
    if pid == 0:
        status = 97
        try:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
            set_filter(program)
            status = function()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def call(number: int, *arguments: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.syscall(number, *arguments) >= 0 else ctypes.get_errno()


def test_ordinary_calls_work() -> None:
    def work() -> int:
        with open("/proc/self/status", encoding="ascii") as file:
            return 0 if "Seccomp:\t2" in file.read() else 1

    assert confined(work) == 0


@pytest.mark.parametrize(
    "name", ["mount", "keyctl", "bpf", "unshare", "setns", "kexec_load", "io_uring_setup"]
)
def test_dangerous_calls_fail_with_eperm(name: str) -> None:
    table = numbers(os.uname().machine)
    assert confined(lambda: call(table[name], 0, 0, 0, 0, 0)) == errno.EPERM


def test_what_does_not_exist_yet_and_clone3_fail_with_enosys() -> None:
    table = numbers(os.uname().machine)
    assert confined(lambda: call(table["clone3"], 0, 0)) == errno.ENOSYS
    assert confined(lambda: call(900)) == errno.ENOSYS


def test_new_namespaces_cannot_be_made_by_clone() -> None:
    table = numbers(os.uname().machine)
    new_user = 0x10000000
    assert confined(lambda: call(table["clone"], new_user | 17, 0, 0, 0, 0)) == errno.EPERM


def test_sockets_of_hypervisor_and_crypto_interface_are_refused() -> None:
    table = numbers(os.uname().machine)
    assert confined(lambda: call(table["socket"], 40, 1, 0)) == errno.EPERM
    assert confined(lambda: call(table["socket"], 38, 5, 0)) == errno.EPERM
    assert confined(lambda: call(table["socket"], 1, 1, 0)) == 0
