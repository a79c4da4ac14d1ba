"""Run the hooks of the specification: the state on standard input, a time limit, a failure is an error."""

from __future__ import annotations

import os
import select
import time

from corten.errors import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    # (path, arguments, environment, seconds or 0)
    Hook = tuple[str, tuple[str, ...], tuple[tuple[str, str], ...], int]


def run(hooks: tuple[Hook, ...], state: bytes) -> None:
    """Run `hooks` one after the other; StartError names the first that fails."""
    for path, arguments, environment, timeout in hooks:
        _run_one(path, arguments, environment, timeout, state)


def run_leniently(hooks: tuple[Hook, ...], state: bytes) -> list[str]:
    """Run all (poststart, poststop): a failure is a warning."""
    warnings = []
    for hook in hooks:
        try:
            run((hook,), state)
        except StartError as error:
            warnings.append(error.message)
    return warnings


def _run_one(
    path: str,
    arguments: tuple[str, ...],
    environment: tuple[tuple[str, str], ...],
    timeout: int,
    state: bytes,
) -> None:
    stdin = os.memfd_create("state", os.MFD_CLOEXEC)
    os.write(stdin, state)
    os.lseek(stdin, 0, os.SEEK_SET)
    output_read, output_write = os.pipe2(os.O_CLOEXEC)
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, output_write, 1),
        (os.POSIX_SPAWN_DUP2, output_write, 2),
    ]
    try:
        pid = os.posix_spawn(
            path,
            arguments or (path,),
            dict(environment),
            file_actions=actions,
            setsigdef=range(1, 32),
        )
    except OSError as error:
        os.close(output_read)
        raise StartError(f"cannot run hook {path}: {error.strerror}") from error
    finally:
        os.close(stdin)
        os.close(output_write)
    try:
        status, output = _wait(pid, output_read, timeout)
    finally:
        os.close(output_read)
    if status is None:
        raise StartError(f"hook {path} did not end within {timeout} seconds and was killed")
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        text = output.decode("utf-8", "replace").strip()
        how = f"exit status {code}" if code > 0 else f"signal {-code}"
        raise StartError(f"hook {path} failed with {how}" + (f": {text}" if text else ""))


def _wait(pid: int, output: int, timeout: int) -> tuple[int | None, bytes]:
    """(wait status or None after the time limit, the end of what it wrote)."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(output, select.POLLIN)
    deadline = time.monotonic() + timeout if timeout else None
    text = b""
    try:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            events = poll.poll(left)
            if not events:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                return None, text
            for fd, _event in events:
                if fd == output:
                    piece = os.read(output, 65536)
                    text = (text + piece)[-2000:]
                    if not piece:
                        poll.unregister(output)
            if any(fd == pidfd for fd, _event in events):
                os.set_blocking(output, False)
                try:
                    text = (text + os.read(output, 65536))[-2000:]
                except BlockingIOError:
                    pass
                return os.waitpid(pid, 0)[1], text
    finally:
        os.close(pidfd)
