"""EROFS on disk: structures and constants of Linux' fs/erofs/erofs_fs.h, all little-endian.

::

    0     boot sectors, unused           1024  struct erofs_super_block (128 bytes), device table behind it
    4096  file contents of the image itself (`content`), aligned to 4096
    ...   shared xattrs, directory blocks, inodes: see image_writer

An inode's number (nid) is its offset from the metadata area in units of 32 bytes. Behind an inode stand its
xattrs, and then its chunk indexes (aligned to 8), or the inline data of a short directory or symbolic link.
"""

from __future__ import annotations

import struct

MAGIC = 0xE0F5E1E2
SUPER_OFFSET = 1024
SLOT = 32

COMPAT_SB_CHECKSUM = 0x1
COMPAT_MTIME = 0x2
INCOMPAT_CHUNKED_FILE = 0x4
INCOMPAT_DEVICE_TABLE = 0x8

SUPER = struct.Struct("<IIIBBHQqIIII16s16sIHHHBBIQB23x")
"""magic checksum feature_compat blkszbits sb_extslots root_nid inos build_time build_time_nsec blocks
meta_blkaddr xattr_blkaddr uuid volume_name feature_incompat compr_algs extra_devices devt_slotoff dirblkbits
xattr_prefix_count xattr_prefix_start packed_nid xattr_filter_reserved"""

DEVICE = struct.Struct("<64sII56x")
"""tag (what a device is found by when no mount option names it), blocks, mapped_blkaddr"""

COMPACT = struct.Struct("<HHHHIIIIHHI")
"""i_format i_xattr_icount i_mode i_nlink i_size i_reserved i_u i_ino i_uid i_gid i_reserved2"""

EXTENDED = struct.Struct("<HHHHQIIIIqII16x")
"""i_format i_xattr_icount i_mode i_reserved i_size i_u i_ino i_uid i_gid i_mtime i_mtime_nsec i_nlink"""

LAYOUT_PLAIN, LAYOUT_INLINE, LAYOUT_CHUNKS = 0, 2, 4
"""Where an inode's data is: at raw_blkaddr; behind the inode; where its chunk indexes say (i_format >> 1)."""

CHUNK_INDEXES = 0x20
MAX_CHUNK_BITS = 31
CHUNK = struct.Struct("<HHI")
"""advise (0) device_id blkaddr"""
HOLE = 0xFFFFFFFF

DIRENT = struct.Struct("<QHBB")
"""nid nameoff file_type reserved"""
DIRENT_SIZE = 12

FILE_TYPES = {0o100000: 1, 0o040000: 2, 0o020000: 3, 0o060000: 4, 0o010000: 5, 0o140000: 6, 0o120000: 7}
"""S_IFMT bits to the type in a directory entry."""

XATTR_HEADER = struct.Struct("<IB7x")
"""h_name_filter h_shared_count"""
XATTR_ENTRY = struct.Struct("<BBH")
"""e_name_len e_name_index e_value_size"""
XATTR_PREFIXES = (
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
)
XATTR_WHOLE = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}

MAX_BLOCKS = 0xFFFFFFFE


def encode_device(major: int, minor: int) -> int:
    """new_encode_dev() of the kernel; ValueError when a number does not fit."""
    if not (0 <= major <= 0xFFF and 0 <= minor <= 0xFFFFF):
        raise ValueError(f"device {major}:{minor} is out of range")
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def decode_device(number: int) -> tuple[int, int]:
    """(major, minor)."""
    return (number & 0xFFF00) >> 8, (number & 0xFF) | ((number >> 12) & 0xFFF00)


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC32C = _table()


def crc32c(data: bytes, value: int = 0xFFFFFFFF) -> int:
    """As the kernel's crc32c(~0, …): not inverted at the end."""
    for byte in data:
        value = _CRC32C[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value


def super_checksum(block: bytes, block_size: int) -> int:
    """Of what stands at SUPER_OFFSET, its checksum field taken as zero: to the end of its block, but a whole
    block where blocks are smaller than SUPER_OFFSET is (erofs_superblock_csum_verify)."""
    size = block_size - SUPER_OFFSET if block_size > SUPER_OFFSET else block_size
    data = bytearray(block[:size])
    data[4:8] = bytes(4)
    return crc32c(bytes(data))
