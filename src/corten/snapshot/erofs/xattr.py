"""Extended attributes of a layer's entries: which of them an inode may have, and how EROFS writes them.

What is left out is what Linux would refuse to set on another file system (setxattr(2)): an invalid access
control list or capability would otherwise make the file unusable. Overlay's own are the snapshotter's.
"""

from __future__ import annotations

import stat
import struct

from corten.snapshot.erofs import disk_format as d

Attribute = tuple[int, bytes, bytes]
"""(name index, name without its prefix, value)"""

OPAQUE: Attribute = (4, b"overlay.opaque", b"y")

_OVERLAY = (b"trusted.overlay.", b"user.overlay.")
_ACL_HEADER = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_MAX_VALUE = 0xFFFF
_MAX_TOTAL = 48 << 10  # what one inode may have in all; listxattr(2) ends at 64 KiB of names


def attributes(found: dict[bytes, bytes], mode: int) -> tuple[tuple[Attribute, ...], list[tuple[bytes, str]]]:
    """(what is kept, sorted; name and reason of what is left out) of an inode with this `mode`."""
    kept: list[Attribute] = []
    dropped: list[tuple[bytes, str]] = []
    total = 0
    for name in sorted(found):
        value = found[name]
        if name.startswith(_OVERLAY):
            continue
        split = _split(name)
        reason = "Operation not supported" if split is None else _refusal(name, value, mode)
        size = 8 + len(name) + len(value)
        if not reason and total + size > _MAX_TOTAL:
            reason = "too many attributes"
        if reason or split is None:
            dropped.append((name, reason))
            continue
        total += size
        kept.append((*split, value))
    return tuple(sorted(kept)), dropped


def _split(name: bytes) -> tuple[int, bytes] | None:
    whole = d.XATTR_WHOLE.get(name)
    if whole is not None:
        return whole, b""
    for prefix, index in d.XATTR_PREFIXES:
        if name.startswith(prefix) and len(prefix) < len(name) <= 255:
            return index, name[len(prefix) :]
    return None


def _refusal(name: bytes, value: bytes, mode: int) -> str:
    """Why setxattr(2) would refuse; empty when it would not."""
    kind = stat.S_IFMT(mode)
    if len(value) > _MAX_VALUE:
        return "Argument list too long"
    if b"\0" in name:
        return "Invalid argument"
    if name.startswith(b"user.") and kind not in (stat.S_IFREG, stat.S_IFDIR):
        return "Operation not permitted"
    if name == b"security.capability" and not _is_capability(value):
        return "Invalid argument"
    if name in d.XATTR_WHOLE:
        if kind == stat.S_IFLNK:
            return "Operation not supported"
        if name.endswith(b"default") and kind != stat.S_IFDIR:
            return "Permission denied"
        if not is_acl(value):
            return "Invalid argument"
    return ""


def _is_capability(value: bytes) -> bool:
    """struct vfs_ns_cap_data, revisions 2 and 3 (linux/capability.h)."""
    revision = int.from_bytes(value[:4], "little") & 0xFF000000
    flags = int.from_bytes(value[:4], "little") & 0x00FFFFFE
    return not flags and (len(value), revision) in ((20, 0x02000000), (24, 0x03000000))


def is_acl(value: bytes) -> bool:
    """Whether posix_acl_from_xattr() and posix_acl_valid() of the kernel accept it."""
    if len(value) < 4 or _ACL_HEADER.unpack_from(value) != (2,) or (len(value) - 4) % 8:
        return False
    state = 0x01
    needs_mask = False
    for tag, permissions, owner in _ACL_ENTRY.iter_unpack(value[4:]):
        if permissions & ~7 or (tag in (0x02, 0x08) and owner == 0xFFFFFFFF):
            return False
        if tag == 0x01 and state == 0x01:
            state = 0x02
        elif tag == 0x02 and state == 0x02:
            needs_mask = True
        elif tag == 0x04 and state == 0x02:
            state = 0x08
        elif tag == 0x08 and state == 0x08:
            needs_mask = True
        elif tag == 0x10 and state == 0x08:
            state = 0x20
        elif tag == 0x20 and (state == 0x20 or (state == 0x08 and not needs_mask)):
            state = 0
        else:
            return False
    return state == 0


def encode_entry(attribute: Attribute) -> bytes:
    """One struct erofs_xattr_entry, padded to 4 bytes."""
    index, name, value = attribute
    data = d.XATTR_ENTRY.pack(len(name), index, len(value)) + name + value
    return data + bytes(-len(data) % 4)


def encode_body(attributes: tuple[Attribute, ...], shared: dict[Attribute, int]) -> bytes:
    """What stands behind an inode: the header, the ids of shared attributes, the others themselves."""
    ids = [shared[attribute] for attribute in attributes if attribute in shared][:255]
    known = set(ids)
    inline = [encode_entry(item) for item in attributes if shared.get(item, -1) not in known]
    return d.XATTR_HEADER.pack(0, len(ids)) + struct.pack(f"<{len(ids)}I", *ids) + b"".join(inline)
