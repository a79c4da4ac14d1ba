"""Signals, without `signal` of the standard library: that one loads `enum`, and the launcher has no
use for it.
"""

from __future__ import annotations

import ctypes

from corten.linux.syscall import libc

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


def restore_default(number: int) -> None:
    """SIG_DFL for the kernel, behind the back of Python, whose own table may be shared with the parent."""
    _libc_signal(number, None)
