"""Signals, without `signal` of the standard library: that one loads `enum`, and the launcher has no
use for it.
"""

from __future__ import annotations

import ctypes

from corten.linux.syscall import NUMBER, libc, raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

NSIG = int(_signal.NSIG)
SIGKILL = int(_signal.SIGKILL)
SIGCHLD = int(_signal.SIGCHLD)
SIG_BLOCK = _signal.SIG_BLOCK
SIG_SETMASK = _signal.SIG_SETMASK
SIG_DFL = _signal.SIG_DFL
SIG_IGN = _signal.SIG_IGN
getsignal = _signal.getsignal
pthread_sigmask = _signal.pthread_sigmask
sigwaitinfo = _signal.sigwaitinfo
valid_signals = _signal.valid_signals
set_handler = _signal.signal
_libc_signal = libc("signal", ctypes.c_int, ctypes.c_void_p)


_rt_sigaction = raw("rt_sigaction", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_INTERNAL = (32, 33)  # libc's SIGCANCEL and SIGSETXID
_DEFAULT_ACTION = bytes(64)  # a `struct sigaction` of the kernel's: SIG_DFL, no flags, no mask


def restore_internal() -> None:
    """SIG_DFL for the two signals that libc keeps to itself: its posix_spawn(3) leaves them ignored."""
    for number in _INTERNAL:
        _rt_sigaction(NUMBER["rt_sigaction"], number, _DEFAULT_ACTION, None, 8)


def restore_default(number: int) -> None:
    """SIG_DFL for the kernel, behind the back of Python, whose own table may be shared with the parent."""
    _libc_signal(number, None)
