"""A clone that shares memory with its parent until it executes, as vfork(2) does, running Python in between.

A fork of a warm interpreter copies its page tables, and then, page by page, what both sides touch: for a
container that is more than half of its start. Here nothing is copied. The parent sleeps in clone(2); the
child runs on a stack of its own, so that the parent's is untouched; and it *returns* from Python before it
executes, so that the interpreter, whose memory is shared, is left exactly as after any call of a callback:

    clone(fn=setcontext) → Python callback → (uc_link) execve(2) → (uc_link) Python callback: it failed →
    _exit(2)

The links are libc's contexts (makecontext(3)). Only for a process with one thread.
"""

from __future__ import annotations

import ctypes
import mmap

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


class Shared:
    """One clone. `run()` returns what to execute, (path, argv, environment), or None: then the child exits.

    `failed(errno)` is called in the child when that cannot be executed. Neither may raise.
    """

    def __init__(
        self,
        run: Callable[[], tuple[bytes, list[bytes], list[bytes]] | None],
        failed: Callable[[int], None],
    ) -> None:
        self._run = run
        self._failed = failed
        self._memory = mmap.mmap(-1, 4 * _CONTEXT + _RUN_STACK + 4 * _SMALL_STACK)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._enter_callback = _Callback(self._enter)
        self._fail_callback = _Callback(self._fail)
        self._kept: tuple[object, ...] = ()

    def clone(self, flags: int) -> tuple[int, int]:
        """Clone with `flags` (32 bits: no CLONE_INTO_CGROUP); returns (pid, pidfd) when the child has
        executed or ended."""
        first = self._context(0, ctypes.cast(self._enter_callback, _void_p).value, link=1)
        self._context(1, _exit, 1)
        self._context(2, ctypes.cast(self._fail_callback, _void_p).value, link=3)
        self._context(3, _exit, 1)
        pidfd = _int(-1)
        flags |= CLONE_VM | CLONE_VFORK | CLONE_PIDFD | _SIGCHLD
        top = self._base + len(self._memory) - 64
        pid = _clone(_setcontext, top, flags, first, ctypes.addressof(pidfd))
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
        command = self._run()
        if command is None:
            return
        path, argv, environment = command
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
        self._failed(ctypes.get_errno())
