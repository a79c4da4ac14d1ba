"""Mounts that no specification can name: parts of layered file systems, files that are in memory only, and
another container's."""

from __future__ import annotations

import os

from corten.errors import InvalidArgument
from corten.linux import mount as m
from corten.oci.struct import Struct
from corten.runtime.lower import Lower
from corten.runtime.plan_mounts import relative_or_lenient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.plan import Draft


class LayeredMount(Struct, frozen=True, kw_only=True):
    """`part` (a file or directory) of an overlay of `lowers` (topmost first), at `destination`.

    With `upper` and `work` it can be written to, and what is written lies there; without, it is read-only.
    `scratch` is a directory of the host, on which the overlay is mounted for a moment, in the container's own
    mount namespace; `empty` one that is empty: an overlay has two layers at least.
    """

    destination: str
    lowers: tuple[str, ...]
    scratch: str
    empty: str
    part: str = ""
    upper: str = ""
    work: str = ""


class FileMount(Struct, frozen=True, kw_only=True):
    """A read-only file in a file system of its own, in memory. `scratch`: see LayeredMount."""

    destination: str
    content: bytes
    scratch: str
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
    executable: bool = False


class SharedMount(Struct, frozen=True, kw_only=True):
    """What is mounted at `destination` in the running container whose process is `pid`: at the same place."""

    destination: str
    pid: int


ProvidedMount = LayeredMount | FileMount | SharedMount


def compile_provided(draft: Draft, mount: ProvidedMount, *, user_namespace: bool) -> None:
    """One operation of the child. `user_namespace`: overlay's marks are those of ordinary users."""
    target = relative_or_lenient(mount.destination)
    if target == b".":
        raise InvalidArgument(f"cannot mount over the container's root ({mount.destination!r})")
    if isinstance(mount, SharedMount):
        draft.add(
            "bind",
            target,
            draft.parent("clone_peers_tree", mount.pid, os.fsencode(mount.destination)),
            False,
            None,
        )
        return
    scratch = os.fsencode(mount.scratch)
    if isinstance(mount, FileMount):
        attributes = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV
        if not mount.executable:
            attributes |= m.MOUNT_ATTR_NOEXEC
        owner = (mount.mode, mount.uid, mount.gid)
        draft.add("mount_file", target, mount.content, owner, attributes, scratch)
        return
    options = []
    if mount.upper:
        options = [
            b"upperdir=" + os.fsencode(mount.upper),
            b"workdir=" + os.fsencode(mount.work),
            b"volatile",
        ]
    if user_namespace:
        options.append(b"userxattr")
    lowers = [
        draft.private_layer(*path.mount) if isinstance(path, Lower) else os.fsencode(path)
        for path in mount.lowers
    ]
    if not mount.upper or not lowers:
        lowers.append(os.fsencode(mount.empty))
    part = os.fsencode(mount.part.strip("/")) or b"."
    draft.add("mount_layers", target, tuple(lowers), tuple(options), part, scratch)
