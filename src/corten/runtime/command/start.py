"""`start`: let a created container run its command."""

from __future__ import annotations

import os

from corten.errors import Conflict
from corten.runtime.command.container import load
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    parsed = Options("start ID").parse(arguments, count=(1, 1))
    container = load(context.root, parsed.words[0])
    status = container.status
    if status != "created":
        raise Conflict(f"cannot start container {container.record.id}: it is {status}, not created")
    try:
        fifo = os.open(container.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # Who removes the fifo has the start: of two, one finds it gone.
        os.unlink(container.fifo)
    except OSError as error:
        raise Conflict(f"cannot start container {container.record.id}: its process is gone") from error
    os.write(fifo, b"1")
    os.close(fifo)
    _poststart(context, container.record.id)
    return 0


def _poststart(context: Context, container_id: str) -> None:
    container = load(context.root, container_id)
    hooks = container.spec().hooks
    if hooks is None or not hooks.poststart:
        return
    from corten.oci.runtime_spec import encode
    from corten.runtime.execute_hooks import run_leniently
    from corten.runtime.plan import compile_hooks

    for warning in run_leniently(compile_hooks(hooks.poststart), encode(container.state())):
        context.tell("warning", warning)
