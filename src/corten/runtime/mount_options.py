"""The mount options of the runtime specification, as the kernel's flags.

https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#linux-mount-options
"""

from __future__ import annotations

from functools import lru_cache

from corten.linux import mount as m
from corten.oci.struct import Struct

# option: (flag to set, flag to clear)
_FLAGS = {
    "async": (0, m.MS_SYNCHRONOUS),
    "atime": (0, m.MS_NOATIME),
    "bind": (m.MS_BIND, 0),
    "rbind": (m.MS_BIND | m.MS_REC, 0),
    "defaults": (0, 0),
    "dev": (0, m.MS_NODEV),
    "diratime": (0, m.MS_NODIRATIME),
    "dirsync": (m.MS_DIRSYNC, 0),
    "exec": (0, m.MS_NOEXEC),
    "iversion": (m.MS_I_VERSION, 0),
    "lazytime": (m.MS_LAZYTIME, 0),
    "loud": (0, m.MS_SILENT),
    "mand": (m.MS_MANDLOCK, 0),
    "noatime": (m.MS_NOATIME, 0),
    "nodev": (m.MS_NODEV, 0),
    "nodiratime": (m.MS_NODIRATIME, 0),
    "noexec": (m.MS_NOEXEC, 0),
    "noiversion": (0, m.MS_I_VERSION),
    "nolazytime": (0, m.MS_LAZYTIME),
    "nomand": (0, m.MS_MANDLOCK),
    "norelatime": (0, m.MS_RELATIME),
    "nostrictatime": (0, m.MS_STRICTATIME),
    "nosuid": (m.MS_NOSUID, 0),
    "nosymfollow": (m.MS_NOSYMFOLLOW, 0),
    "relatime": (m.MS_RELATIME, 0),
    "remount": (m.MS_REMOUNT, 0),
    "ro": (m.MS_RDONLY, 0),
    "rw": (0, m.MS_RDONLY),
    "silent": (m.MS_SILENT, 0),
    "strictatime": (m.MS_STRICTATIME, 0),
    "suid": (0, m.MS_NOSUID),
    "symfollow": (0, m.MS_NOSYMFOLLOW),
    "sync": (m.MS_SYNCHRONOUS, 0),
}
PROPAGATION = {
    "private": m.MS_PRIVATE,
    "rprivate": m.MS_PRIVATE | m.MS_REC,
    "shared": m.MS_SHARED,
    "rshared": m.MS_SHARED | m.MS_REC,
    "slave": m.MS_SLAVE,
    "rslave": m.MS_SLAVE | m.MS_REC,
    "unbindable": m.MS_UNBINDABLE,
    "runbindable": m.MS_UNBINDABLE | m.MS_REC,
}
# option: (attribute to set, attribute to clear), for the mount and all below it
_RECURSIVE = {
    "rro": (m.MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, m.MOUNT_ATTR_RDONLY),
    "rnosuid": (m.MOUNT_ATTR_NOSUID, 0),
    "rsuid": (0, m.MOUNT_ATTR_NOSUID),
    "rnodev": (m.MOUNT_ATTR_NODEV, 0),
    "rdev": (0, m.MOUNT_ATTR_NODEV),
    "rnoexec": (m.MOUNT_ATTR_NOEXEC, 0),
    "rexec": (0, m.MOUNT_ATTR_NOEXEC),
    "rnodiratime": (m.MOUNT_ATTR_NODIRATIME, 0),
    "rdiratime": (0, m.MOUNT_ATTR_NODIRATIME),
    "rrelatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "rnorelatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR__ATIME),
    "rnoatime": (m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR__ATIME),
    "ratime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "rstrictatime": (m.MOUNT_ATTR_STRICTATIME, m.MOUNT_ATTR__ATIME),
    "rnostrictatime": (m.MOUNT_ATTR_RELATIME, m.MOUNT_ATTR__ATIME),
    "rnosymfollow": (m.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rsymfollow": (0, m.MOUNT_ATTR_NOSYMFOLLOW),
}
_ATIMES = (
    (m.MS_NOATIME, m.MOUNT_ATTR_NOATIME),
    (m.MS_STRICTATIME, m.MOUNT_ATTR_STRICTATIME),
    (m.MS_RELATIME, m.MOUNT_ATTR_RELATIME),
)
#: Our own option of a bind mount, of its source's part.
SUBPATH = "x-corten.subpath="
_IGNORED = {"z", "Z", "nocopy", "copy", "bind-nonrecursive", "private-nonrecursive"}

Attributes = tuple[int, int, int, int, int, int]


class MountOptions(Struct, frozen=True, kw_only=True):
    """Options, sorted: `flags` to set and explicitly cleared ones, data for the file system, and the rest."""

    flags: int = 0
    cleared: int = 0
    propagation: tuple[int, ...] = ()
    deep_set: int = 0
    deep_clear: int = 0
    data: tuple[str, ...] = ()
    copy_up: bool = False
    id_map: str = ""  # "", "idmap", "ridmap" or "idmap=uids=...;gids=..."
    subpath: str = ""  # what of a bind's source is bound: resolved beneath it, links cannot lead out

    @property
    def is_bind(self) -> bool:
        return bool(self.flags & m.MS_BIND)

    def attributes(self, *, bind: bool) -> Attributes | None:
        """(set, clear, propagation, recursive set, clear and propagation) for mount_setattr(2), or None.

        Of a new file system, flags were given to mount(2) already.
        """
        on = off = 0
        if bind:
            on = m.attributes_of(self.flags)
            off = m.attributes_of(self.cleared & ~self.flags)
            for flag, attribute in _ATIMES:
                if self.flags & flag:
                    on |= attribute
                    off |= m.MOUNT_ATTR__ATIME
                    break
        shallow = deep = 0
        for kind in self.propagation:
            if kind & m.MS_REC:
                deep = kind & ~m.MS_REC
            else:
                shallow = kind
        result = (on, off, shallow, self.deep_set, self.deep_clear, deep)
        return result if any(result) else None


@lru_cache(512)
def parse_options(options: tuple[str, ...]) -> MountOptions:
    """Sort `options`; what is not known is data of the file system's own."""
    flags = cleared = deep_set = deep_clear = 0
    propagation: list[int] = []
    data: list[str] = []
    copy_up, id_map, subpath = False, "", ""
    for option in options:
        if option in _FLAGS:
            on, off = _FLAGS[option]
            flags = flags & ~off | on
            cleared = cleared & ~on | off
        elif option in PROPAGATION:
            propagation.append(PROPAGATION[option])
        elif option in _RECURSIVE:
            on, off = _RECURSIVE[option]
            deep_set = deep_set & ~off | on
            deep_clear = deep_clear & ~on | off
        elif option == "tmpcopyup":
            copy_up = True
        elif option.startswith(("idmap", "ridmap")):
            id_map = option
        elif option.startswith(SUBPATH):
            subpath = option.removeprefix(SUBPATH)
        elif option not in _IGNORED:
            data.append(option)
    return MountOptions(
        flags=flags,
        cleared=cleared,
        propagation=tuple(propagation),
        deep_set=deep_set,
        deep_clear=deep_clear,
        data=tuple(data),
        copy_up=copy_up,
        id_map=id_map,
        subpath=subpath,
    )


OPTION_NAMES = (*_FLAGS, *PROPAGATION, *_RECURSIVE, "tmpcopyup", "idmap", "ridmap")
