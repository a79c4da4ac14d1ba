"""Docker's default system call profile (as of Docker 28), and profile files in Docker's format.

Everything that is not listed fails with EPERM. One point is stricter, as in Docker's later releases: sockets
of the kernel's crypto interface (AF_ALG) are refused along with AF_VSOCK.
https://docs.docker.com/engine/security/seccomp/
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable

import msgspec

from corten.errors import InvalidArgument
from corten.oci.runtime_spec import Seccomp, Syscall, SyscallArg

_ALLOW, _ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"

# By what they are for; names of any architecture.
_ALWAYS = {
    "files": """
        access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
        faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
        fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
        futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat _llseek lseek lstat lstat64
        mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 readahead readlink
        readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statx symlink symlinkat sync
        sync_file_range syncfs truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64
        utimes cachestat listmount statmount""",
    "extended attributes": """
        fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
        llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat""",
    "reading, writing, waiting": """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
        eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
        io_submit ioprio_get ioprio_set _newselect pipe pipe2 poll ppoll ppoll_time64 pread64 preadv preadv2
        pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readv select sendfile sendfile64 splice tee
        vmsplice write writev""",
    "watching files": """
        fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch""",
    "sockets (`socket` itself is below)": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
        recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair""",
    "memory": """
        brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
        mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
        process_mrelease remap_file_pages""",
    "processes and threads": """
        execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp getpid
        getppid getpriority getrlimit getrusage getsid gettid pidfd_open pidfd_send_signal prctl prlimit64
        rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
        sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
        sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid
        setpriority setrlimit setsid times ugetrlimit vfork wait4 waitid waitpid""",
    "users and rights": """
        capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
        getresgid32 getresuid getresuid32 getuid getuid32 landlock_add_rule landlock_create_ruleset
        landlock_restrict_self seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
        setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid
        setuid32""",
    "signals": """
        kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
        rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4
        sigprocmask sigreturn tgkill tkill""",
    "futexes": """
        futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake""",
    "interprocess communication": """
        ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
        mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
        semtimedop_time64 shmat shmctl shmdt shmget""",
    "time": """
        adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
        clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time
        timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
        timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64""",
    "the system": """
        getrandom riscv_hwprobe sysinfo uname uretprobe""",
    "tracing one's own (kept from seccomp's eyes only before Linux 4.8)": """
        process_vm_readv process_vm_writev ptrace""",
}
_BY_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": """
        arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2""",
    "riscv64": "riscv_flush_icache",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "ppc64le": "swapcontext sync_file_range2",
}
_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare""",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}
# uname -m: what the profile is for, the native one first.
_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
}
# PER_LINUX, PER_LINUX32, with and without UNAME26, and asking (personality(2)).
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET.
_CLONE_NAMESPACES = 0x7E020000
_AF_ALG, _AF_VSOCK = 38, 40


def default_profile(capabilities: Collection[str], *, machine: str | None = None) -> Seccomp:
    """The profile of a container with the bounding set `capabilities` (`CAP_...`); `machine` as uname -m."""
    machine = machine or os.uname().machine
    names = [name for text in _ALWAYS.values() for name in text.split()]
    names += _BY_MACHINE.get(machine, "").split()
    for capability, text in _BY_CAPABILITY.items():
        if capability in capabilities:
            names += text.split()
    rules = [
        Syscall(names=tuple(sorted(set(names))), action=_ALLOW),
        *(_when("personality", SyscallArg(index=0, value=value)) for value in _PERSONALITIES),
        _when("socket", SyscallArg(index=0, value=_AF_ALG, op="SCMP_CMP_LT")),
        _when("socket", SyscallArg(index=0, value=_AF_ALG + 1)),
        _when("socket", SyscallArg(index=0, value=_AF_VSOCK, op="SCMP_CMP_GT")),
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        index = 1 if machine == "s390x" else 0
        flags = SyscallArg(index=index, value=_CLONE_NAMESPACES, value_two=0, op="SCMP_CMP_MASKED_EQ")
        rules.append(_when("clone", flags))
        # Its flags lie in memory, where no filter can look: programs fall back to clone.
        rules.append(Syscall(names=("clone3",), action=_ERRNO, errno_ret=errno.ENOSYS))
    return Seccomp(
        default_action=_ERRNO,
        default_errno_ret=errno.EPERM,
        architectures=_ARCHITECTURES.get(machine, ()),
        syscalls=tuple(rules),
    )


def _when(name: str, argument: SyscallArg) -> Syscall:
    return Syscall(names=(name,), action=_ALLOW, args=(argument,))


class _Filter(msgspec.Struct, rename="camel"):
    caps: tuple[str, ...] | None = ()
    arches: tuple[str, ...] | None = ()
    min_kernel: str | None = None


class _ProfileCall(msgspec.Struct, rename="camel"):
    action: str
    name: str = ""
    names: tuple[str, ...] | None = ()
    errno_ret: int | None = None
    args: tuple[SyscallArg, ...] | None = ()
    includes: _Filter | None = None
    excludes: _Filter | None = None


class _ArchMap(msgspec.Struct, rename="camel"):
    architecture: str
    sub_architectures: tuple[str, ...] | None = ()


class _Profile(msgspec.Struct, rename="camel"):
    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] | None = ()
    arch_map: tuple[_ArchMap, ...] | None = ()
    flags: tuple[str, ...] | None = ()
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: tuple[_ProfileCall, ...] | None = ()


_GO_NAMES = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64", "aarch64")}


def load_profile(text: bytes, capabilities: Collection[str], *, machine: str | None = None) -> Seccomp:
    """A file of `--security-opt seccomp=FILE`, in Docker's format (`archMap`, `includes`, `excludes`)."""
    machine = machine or os.uname().machine
    try:
        profile = msgspec.json.decode(text, type=_Profile)
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"decoding seccomp profile failed: {error}") from error
    if profile.architectures and profile.arch_map:
        raise InvalidArgument("use either 'architectures' or 'archMap' in the seccomp profile, not both")
    architectures = profile.architectures or ()
    native = _ARCHITECTURES.get(machine, ("",))[0]
    for entry in profile.arch_map or ():
        if entry.architecture == native:
            architectures = (native, *(entry.sub_architectures or ()))
    calls = [call for call in profile.syscalls or () if _counts(call, capabilities, machine)]
    return Seccomp(
        default_action=profile.default_action,
        default_errno_ret=profile.default_errno_ret,
        architectures=architectures,
        flags=profile.flags,
        listener_path=profile.listener_path,
        listener_metadata=profile.listener_metadata,
        syscalls=tuple(
            Syscall(names=_names(call), action=call.action, errno_ret=call.errno_ret, args=call.args)
            for call in calls
        ),
    )


def _names(call: _ProfileCall) -> tuple[str, ...]:
    if call.name and call.names:
        raise InvalidArgument("use either 'name' or 'names' in the seccomp profile, not both")
    return (call.name,) if call.name else call.names or ()


def _counts(call: _ProfileCall, capabilities: Collection[str], machine: str) -> bool:
    """Do `includes` and `excludes` let this rule in?"""
    arches = _GO_NAMES.get(machine, (machine,))
    if (without := call.excludes) is not None:
        excluded = any(name in capabilities for name in without.caps or ())
        excluded = excluded or _any(arches, without.arches)
        if excluded or (without.min_kernel and _kernel_is(without.min_kernel)):
            return False
    if (only := call.includes) is not None:
        if not all(name in capabilities for name in only.caps or ()):
            return False
        if only.arches and not _any(arches, only.arches):
            return False
        return not only.min_kernel or _kernel_is(only.min_kernel)
    return True


def _any(names: Iterable[str], wanted: Collection[str] | None) -> bool:
    return any(name in (wanted or ()) for name in names)


def _kernel_is(minimum: str) -> bool:
    """Is the running kernel `minimum` ("4.8") or later?"""
    try:
        major, minor = (int(part) for part in minimum.split("."))
    except ValueError:
        raise InvalidArgument(f"invalid kernel version in the seccomp profile: {minimum!r}") from None
    running = os.uname().release.split(".")
    return (int(running[0]), int(running[1].split("-")[0])) >= (major, minor)
