"""A clone that shares memory with its parent until it executes, as vfork(2) does, running Python in between.

A fork of a warm interpreter copies its page tables, and then, page by page, what both sides touch: for a
container that is more than half of its start. Here nothing is copied. The parent sleeps in clone(2); the
child runs on a stack of its own, so that the parent's is untouched; and it *returns* from Python before it
executes, so that the interpreter, whose memory is shared, is left exactly as after any call of a callback:

    clone(fn=setcontext) → Python callback → (uc_link) execve(2) → (uc_link) Python callback: it failed →
    _exit(2)

The links are libc's contexts (makecontext(3)).

Why this is safe, and what is done so that it is:

- **One at a time.** CLONE_VFORK: the parent does not run while the child does. It has no other thread
  (`usable`; libc's setresuid(2) would signal them, a lock of theirs would never be released), and the GIL
  stays held across the call, so the interpreter sees one thread that calls a function and comes back.
- **Not shared** are descriptors, working directory, umask, root, credentials, limits, signal handlers,
  namespaces: the kernel copies them as for a fork. oom_score_adj is the child's own as well (the kernel asks
  whether a task that shares memory is in vfork). libc caches none of it.
- **Signals.** A handler would run in the child and tell the parent's interpreter. So all signals are blocked
  while the child runs Python, and what has a handler is set to its default, for the child's kernel table
  only, before the child's own code may unblock them. As PID 1 of its namespace it is not killed by defaults.
- **Exceptions and frames.** Both callbacks catch everything, and return: references, frames, recursion depth
  and exception state are back where they were. What the child allocated is freed by whoever drops it, from
  the one heap.
- **Garbage collection** is off for the time: a finaliser would close a descriptor in the child's table, mark
  the object as closed, and leak the parent's.
- **A child that is killed within Python** (SIGKILL from the host's root, or a seccomp filter that forbids
  what Python and libc call: `runtime.plan` keeps such filters away) leaves the interpreter in the middle of
  something. `clone` sees that the child never left Python, and ends this process at once: no code runs on
  what may be broken. The out-of-memory killer spares tasks in vfork.
- **Tracing.** The memory's dumpable flag is shared. No process of the container may look at the child before
  it has executed: it is alone in a new pid namespace, or (an exec) neither is dumpable and nobody in there
  has CAP_SYS_PTRACE (`runtime.plan`). A change of its user makes the memory
  not dumpable; the parent's flag is put back.
- **Time namespaces** change the vDSO's page, which is memory: the kernel forbids it, `runtime.plan` forks.
- **Architectures.** Contexts are libc's on x86_64 and aarch64 (8192 bytes are more than either's
  `ucontext_t`); musl has none. No clone3(2): libc has no wrapper, and a new stack under syscall(2) needs
  machine code.
- **Interpreters.** CPython to 3.13 with the GIL. 3.14 compares the stack pointer with the thread's own stack;
  a tracing or profiling function would run in the child.

Where any of this is not so, `usable` says no and the caller forks. CORTEN_VFORK=0 in the environment of the
engine (or of corten-runtime) says no as well.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import sys

from corten.linux import prctl, signals
from corten.linux.syscall import address, failure, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_VM = 0x100
CLONE_VFORK = 0x4000
CLONE_PIDFD = 0x1000
_SIGCHLD = 17
_CONTEXT = 8192  # more than any `ucontext_t`
_RUN_STACK = 1 << 20
_SMALL_STACK = 1 << 17

_void_p, _int = ctypes.c_void_p, ctypes.c_int
try:
    _clone = libc("clone", _void_p, _void_p, _int, _void_p, _void_p)
    _getcontext = libc("getcontext", _void_p)
    _makecontext = libc("makecontext", _void_p, _void_p, _int, _void_p, _void_p, _void_p)
    _setcontext = address("setcontext")
    _execve = address("execve")
    _exit = address("_exit")
    AVAILABLE = True
except AttributeError:  # musl has no contexts
    AVAILABLE = False

_Callback = ctypes.CFUNCTYPE(None, use_errno=True)
_KNOWN = (
    AVAILABLE
    and sys.implementation.name == "cpython"
    and sys.version_info < (3, 14)
    and getattr(sys, "_is_gil_enabled", lambda: True)()
)
_TASKS = "/proc/self/task"


def usable() -> bool:
    """May this process share its memory with a child, as far as is known? See above."""
    if not _KNOWN or os.environ.get("CORTEN_VFORK") == "0" or sys.gettrace() or sys.getprofile():
        return False
    try:
        return os.stat(_TASKS).st_nlink == 3  # one for each thread, `.` and `..`
    except OSError:
        return False


class Shared:
    """One clone. `run()` returns what to execute, (path, argv, environment), or None: then the child exits.

    `failed(errno)` is called in the child when that cannot be executed. Neither may end the process.
    Both may be given later (`aim`): what this takes is then ready before.
    """

    def __init__(
        self,
        run: Callable[[], tuple[bytes, list[bytes], list[bytes]] | None] | None = None,
        failed: Callable[[int], None] | None = None,
    ) -> None:
        self._run = run
        self._failed = failed
        self._memory = mmap.mmap(-1, 4 * _CONTEXT + _RUN_STACK + 4 * _SMALL_STACK)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._enter_callback = _Callback(self._enter)
        self._fail_callback = _Callback(self._fail)
        self._kept: tuple[object, ...] = ()
        self._within = False
        self._first = 0

    def aim(
        self,
        run: Callable[[], tuple[bytes, list[bytes], list[bytes]] | None],
        failed: Callable[[int], None],
    ) -> Shared:
        """Say what to do."""
        self._run = run
        self._failed = failed
        return self

    def clone(self, flags: int) -> tuple[int, int]:
        """Clone with `flags` (32 bits: no CLONE_INTO_CGROUP); returns (pid, pidfd) when the child has
        executed or ended."""
        collecting = gc.isenabled()
        gc.disable()
        dumpable = prctl.prctl(prctl.PR_GET_DUMPABLE)
        self.make_contexts()
        mask = signals.pthread_sigmask(signals.SIG_BLOCK, signals.valid_signals())
        try:
            return self._clone(flags)
        finally:
            self._first = 0  # what it has executed is written there now
            if prctl.prctl(prctl.PR_GET_DUMPABLE) != dumpable == 1:
                prctl.prctl(prctl.PR_SET_DUMPABLE, 1)
            signals.pthread_sigmask(signals.SIG_SETMASK, mask)
            if collecting:
                gc.enable()

    def make_contexts(self) -> None:
        """Make what the child enters: the next `clone` does, if nobody has done so before."""
        if self._first:
            return
        # Entering a context takes on the mask of the moment when it was made.
        mask = signals.pthread_sigmask(signals.SIG_BLOCK, signals.valid_signals())
        try:
            self._context(1, _exit, 1)
            self._context(2, ctypes.cast(self._fail_callback, _void_p).value, link=3)
            self._context(3, _exit, 1)
            self._first = self._context(0, ctypes.cast(self._enter_callback, _void_p).value, link=1)
        finally:
            signals.pthread_sigmask(signals.SIG_SETMASK, mask)

    def _clone(self, flags: int) -> tuple[int, int]:
        pidfd = _int(-1)
        flags |= CLONE_VM | CLONE_VFORK | CLONE_PIDFD | _SIGCHLD
        top = self._base + len(self._memory) - 64
        self._within = False
        pid = _clone(_setcontext, top, flags, self._first, ctypes.addressof(pidfd))
        if self._within:
            os.write(2, b"corten: a starting process was killed while it shared its parent's memory\n")
            os._exit(70)
        if pid < 0:
            raise failure("clone", hex(flags))
        return pid, pidfd.value

    def _context(self, index: int, function: int | None, *arguments: object, link: int | None = None) -> int:
        """Context `index` calls `function`, and then goes on with context `link`."""
        address = self._base + index * _CONTEXT
        _getcontext(address)
        stacks = self._base + 4 * _CONTEXT
        stack = stacks if index == 0 else stacks + _RUN_STACK + (index - 1) * _SMALL_STACK
        # struct ucontext { unsigned long uc_flags; ucontext *uc_link; stack_t { void *sp; int flags;
        # size_t size } }
        head = (ctypes.c_uint64 * 5).from_address(address)
        head[1] = 0 if link is None else self._base + link * _CONTEXT
        head[2] = stack
        head[4] = _RUN_STACK if index == 0 else _SMALL_STACK
        padded = (*arguments, None, None, None)
        _makecontext(address, function, len(arguments), *padded[:3])
        return address

    def _enter(self) -> None:
        self._within = True
        try:
            _forget_handlers()
            command = self._run() if self._run else None
            if command is not None:
                self._prepare(*command)
        except BaseException:
            self._tell(12)  # ENOMEM: nothing else is left that could fail here
        self._within = False

    def _prepare(self, path: bytes, argv: list[bytes], environment: list[bytes]) -> None:
        arguments = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
        variables = (ctypes.c_char_p * (len(environment) + 1))(*environment, None)
        name = ctypes.c_char_p(path)
        self._kept = (arguments, variables, name, path)
        self._context(
            1,
            _execve,
            ctypes.cast(name, _void_p).value,
            ctypes.addressof(arguments),
            ctypes.addressof(variables),
            link=2,
        )

    def _fail(self) -> None:
        self._within = True
        self._tell(ctypes.get_errno())
        self._within = False

    def _tell(self, number: int) -> None:
        try:
            if self._failed:
                self._failed(number)
        except BaseException:
            pass  # the parent sees the end of the channel, and the exit status


def _forget_handlers() -> None:
    """Signals that Python would handle get their default; the table of Python, which is shared, stays."""
    for number in range(1, signals.NSIG):
        handler = signals.getsignal(number)
        if handler is not None and handler not in (signals.SIG_DFL, signals.SIG_IGN):
            signals.restore_default(number)
