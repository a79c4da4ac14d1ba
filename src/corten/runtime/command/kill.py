"""`kill`: a signal to the container's first process, or to all."""

from __future__ import annotations

import os
import signal

from corten.errors import Conflict, InvalidArgument
from corten.linux.process import pidfd_send_signal
from corten.runtime.command.container import load, process_start
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    # Options may stand behind the id as well: runc's callers write `kill ID SIGNAL --all`.
    words = [word for word in arguments if not word.startswith("--") or word == "--"]
    flags = [word for word in arguments if word.startswith("--") and word != "--"]
    parsed = Options("kill [--all] ID [SIGNAL]", flags={"all": "a"}).parse(flags + words, count=(1, 2))
    number = parse_signal(parsed.words[1] if len(parsed.words) > 1 else "SIGTERM")
    container = load(context.root, parsed.words[0])
    record = container.record
    if "all" in parsed.flags:
        group = container.cgroup()
        for pid in group.pids() if group is not None else ():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return 0
    if container.status == "stopped":
        raise Conflict(f"cannot signal container {record.id}: it is stopped (container not running)")
    try:
        pidfd = os.pidfd_open(record.pid)
    except OSError as error:
        raise Conflict(
            f"cannot signal container {record.id}: it is stopped (container not running)"
        ) from error
    if process_start(record.pid) != record.pid_start:
        raise Conflict(f"cannot signal container {record.id}: it is stopped (container not running)")
    pidfd_send_signal(pidfd, number)
    if number == signal.SIGKILL:
        # A frozen process of a v1 cgroup takes SIGKILL only when it is thawed.
        group = container.cgroup()
        if group is not None and group.frozen:
            group.thaw()
    return 0


def parse_signal(text: str) -> int:
    """ "9", "KILL", "SIGKILL", "SIGRTMIN+3" → the number."""
    if text.isdigit():
        number = int(text)
        if 0 < number < signal.NSIG:
            return number
        raise InvalidArgument(f"there is no signal {text}")
    name = text.upper()
    name = name if name.startswith("SIG") else "SIG" + name
    base, plus, offset = name.partition("+")
    found = getattr(signal, base, None)
    if not isinstance(found, signal.Signals) or (plus and not offset.isdigit()):
        raise InvalidArgument(f"there is no signal {text!r}")
    return int(found) + (int(offset) if plus else 0)
