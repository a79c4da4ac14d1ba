"""The last steps in the child: working directory, the command's path, exec; or an init that runs it."""

from __future__ import annotations

import os
import stat

from corten.errors import CommandNotExecutable, CommandNotFound, StartError
from corten.linux import signals as s
from corten.linux.process import close_range
from corten.runtime.execute_init import hide, supervise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.execute_child import Child


def working_directory(child: Child, path: bytes) -> None:
    """Change to `path`, and verify that it is inside the root.

    A directory that was reached through a leaked descriptor is not below the root; getcwd(2) tells
    (CVE-2024-21626).
    """
    try:
        os.chdir(path)
    except OSError as error:
        raise StartError(
            f"cannot change to the working directory {path.decode('utf-8', 'replace')}: {error.strerror}"
        ) from None
    try:
        here = os.getcwdb()
    except OSError:
        here = b""
    if not here.startswith(b"/"):
        raise StartError(
            f"the working directory {path.decode('utf-8', 'replace')} is outside of the container's root"
        )


def prepare_exec(child: Child, umask: int, preserved: int) -> None:
    """What a strict filter may forbid comes before it: signals, umask, descriptors.

    What Python, or whoever started us, ignores would stay ignored over exec; so would blocked signals.

    Descriptors are closed, not marked close-on-exec: execve(2) opens the command before it closes anything,
    so a command (or an interpreter in a script's first line) of "/proc/self/fd/N/..." would be found through
    what we have open of the host (CVE-2024-21626). What is left is the socket on which a failure is told.
    """
    for number in range(1, s.NSIG):
        if s.getsignal(number) is s.SIG_IGN:
            s.restore_default(number)
    s.restore_internal()
    s.pthread_sigmask(s.SIG_SETMASK, ())
    os.umask(umask)
    first = 3 + preserved
    if child.channel >= first:
        close_range(first, child.channel - 1)
    close_range(max(first, child.channel + 1))
    for fd in range(3, first):
        os.set_inheritable(fd, fd != child.channel)


def look_up(child: Child, arguments: tuple[bytes, ...]) -> None:
    """Find the command as a shell would: by $PATH, unless it has a slash."""
    name = arguments[0]
    text = name.decode("utf-8", "replace")
    child.arguments = list(arguments)
    child.found = name
    if not name:
        raise CommandNotFound('exec: "": executable file not found in $PATH')
    if b"/" in name:
        _check(name, text)
        return
    denied = False
    for directory in child.environment.get(b"PATH", _DEFAULT_PATH).split(b":"):
        path = (directory or b".") + b"/" + name
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            denied = denied or error.errno == 13
            continue
        if stat.S_ISREG(mode) and mode & 0o111:
            child.found = path
            return
        denied = denied or stat.S_ISREG(mode)
    if denied:
        raise CommandNotExecutable(f'exec: "{text}": permission denied')
    raise CommandNotFound(f'exec: "{text}": executable file not found in $PATH')


_DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _check(path: bytes, text: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        words = (error.strerror or "").lower()
        if error.errno in (2, 20):
            raise CommandNotFound(f'exec: "{text}": stat {text}: {words}') from None
        raise CommandNotExecutable(f'exec: "{text}": {words}') from None
    if stat.S_ISDIR(mode):
        raise CommandNotExecutable(f'exec: "{text}": permission denied: is a directory')
    if not mode & 0o111:
        raise CommandNotExecutable(f'exec: "{text}": permission denied')


def explain(path: bytes, number: int) -> CommandNotFound | CommandNotExecutable:
    """Why execve(2) failed with errno `number`, in Docker's words."""
    text = path.decode("utf-8", "replace")
    words = os.strerror(number).lower()
    if number in (2, 20):
        return CommandNotFound(f"exec {text}: {words}")
    return CommandNotExecutable(f"exec {text}: {words}")


def init(child: Child) -> None:
    """Stay as PID 1; a forked process goes on, and becomes the command."""
    hide()
    pid = os.fork()
    if pid != 0:
        supervise(pid)
