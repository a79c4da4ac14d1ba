"""Looking into a stopped container: a worker process mounts its overlay in a mount namespace of its own.

No mount is ever visible on the host, and nothing needs cleaning when the worker dies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def run_in_view(
    lowers: Sequence[str],
    upper: str,
    work: str,
    function: str,
    *args: Any,
    fds: Sequence[int] = (),
    readonly: bool = False,
) -> Any:
    """Calls `function` ("stat_path", "pack_path", "pack_tree", "unpack_path" of `snapshot.archive`, or "changes") on the
    container's tree in a worker process. Its `read`/`write` go to `fds[0]` (a pipe, socket or file), everything else in
    `args` must be plain values. Returns its result; raises its CortenError. Blocks: call it in a thread."""
    raise NotImplementedError
