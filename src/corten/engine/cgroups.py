"""The cgroup of a running container: to freeze, to measure, to change its limits."""

from __future__ import annotations

from corten.engine.core import Core
from corten.engine.record import Container
from corten.errors import CortenError
from corten.runtime.cgroup.control import Cgroup


def container_cgroup(core: Core, container: Container) -> Cgroup | None:
    """None when it has none (any more)."""
    try:
        return Cgroup.open(core.cgroup_path(container), layout=core.layout)
    except (CortenError, FileNotFoundError):
        return None
