"""The cgroup of a running container: to freeze, to measure, to change its limits."""

from __future__ import annotations

import contextlib
import os

from corten.engine.core import Core
from corten.engine.record import Container
from corten.errors import CortenError
from corten.runtime.cgroup.control import Cgroup


def remove_parent(core: Core) -> None:
    """Removes the cgroup that containers' cgroups are made in, unless another engine uses it: the next
    start makes it again."""
    for hierarchy in core.layout.hierarchies:
        with contextlib.suppress(OSError):
            os.rmdir(hierarchy.directory(core.cgroup_parent))


def container_cgroup(core: Core, container: Container) -> Cgroup | None:
    """None when it has none (any more)."""
    try:
        return Cgroup.open(core.cgroup_path(container), layout=core.layout)
    except (CortenError, FileNotFoundError):
        return None
