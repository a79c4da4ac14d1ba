"""A layer below an overlay."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Lower(str):
    """The path at which a layer can be looked at from anywhere. `mount` is (mount point, source, device): how
    a process that makes an overlay has to mount it in its own mount namespace first, where the kernel's
    overlay does not take it from that path (detached mounts: before Linux 6.15)."""

    __slots__ = ("mount",)

    mount: tuple[str, str, str]


def private_mounts(lowers: Sequence[str]) -> list[tuple[str, str, str]]:
    """For each of `lowers` how to mount it first; ("", "", "") where that is not needed."""
    return [lower.mount if isinstance(lower, Lower) else ("", "", "") for lower in lowers]
