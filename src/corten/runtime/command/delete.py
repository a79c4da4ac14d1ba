"""`delete`: remove a container that has stopped, or with --force any."""

from __future__ import annotations

import os
import time

from corten.errors import Conflict, CortenError, NotFound
from corten.linux.process import pidfd_send_signal
from corten.runtime.command.container import Container, load, process_start
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context

_PATIENCE = 10.0


def run(context: Context, arguments: list[str]) -> int:
    parsed = Options("delete [--force] ID...", flags={"force": "f"}).parse(arguments, count=(1, None))
    force = "force" in parsed.flags
    for container_id in parsed.words:
        try:
            container = load(context.root, container_id)
        except NotFound:
            if force:
                continue
            raise
        delete(context, container, force=force)
    return 0


def delete(context: Context, container: Container, *, force: bool) -> None:
    """Kill what runs (with `force`, or when it was never started), remove cgroup and state, run poststop."""
    status = container.status
    if status in ("running", "paused") and not force:
        raise Conflict(
            f"cannot delete container {container.record.id}: it is {status}; stop it, or use --force"
        )
    group = container.cgroup()
    if status not in ("stopped", "creating"):
        _end(container)
    if group is not None:
        group.kill()
        group.delete()
    hooks = container.spec().hooks
    state = container.state()
    container.remove()
    if hooks is not None and hooks.poststop:
        from corten.oci.runtime_spec import encode
        from corten.runtime.execute_hooks import run_leniently
        from corten.runtime.plan import compile_hooks

        for warning in run_leniently(compile_hooks(hooks.poststop), encode(state)):
            context.tell("warning", warning)


def _end(container: Container) -> None:
    record = container.record
    try:
        pidfd = os.pidfd_open(record.pid)
    except OSError:
        return
    try:
        if process_start(record.pid) != record.pid_start:
            return
        group = container.cgroup()
        if group is not None and group.frozen:
            group.thaw()
        pidfd_send_signal(pidfd, 9)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
    deadline = time.monotonic() + _PATIENCE
    while process_start(record.pid) == record.pid_start:
        if time.monotonic() > deadline:
            raise CortenError(f"process {record.pid} of container {record.id} does not end")
        time.sleep(0.002)
