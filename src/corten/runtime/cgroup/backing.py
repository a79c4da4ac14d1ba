"""Which disk a path or device really writes to: beneath partitions, device mapper, overlay and btrfs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from corten.errors import InvalidArgument

_SYS = Path("/sys/dev/block")


def whole_disk(major: int, minor: int, *, sys: Path = _SYS) -> tuple[int, int]:
    """The disk of a partition; any other device is itself."""
    entry = sys / f"{major}:{minor}"
    if not (entry / "partition").exists():
        return major, minor
    first, _, second = (entry.resolve().parent / "dev").read_text().strip().partition(":")
    return int(first), int(second)


def physical_disks(major: int, minor: int, *, sys: Path = _SYS) -> tuple[tuple[int, int], ...]:
    """The disks at the bottom of a device mapper, md or bcache device; a disk is itself."""
    disk = whole_disk(major, minor, sys=sys)
    slaves = sys / f"{disk[0]}:{disk[1]}" / "slaves"
    found: list[tuple[int, int]] = []
    if slaves.is_dir():
        for slave in sorted(slaves.iterdir()):
            first, _, second = (slave / "dev").read_text().strip().partition(":")
            found += physical_disks(int(first), int(second), sys=sys)
    return tuple(dict.fromkeys(found)) or (disk,)


def device_number(path: str) -> tuple[int, int]:
    """The number of the block device node `path`, as in `--device-read-bps /dev/sda:1mb`."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidArgument(f"cannot use the device {path}: {error.strerror}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidArgument(f"{path} is not a block device")
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def disk_of_path(path: str, *, mountinfo: str | None = None) -> tuple[int, int]:
    """The disk that files beneath `path` are written to; also where `path` lies in an overlay or in btrfs.

    Raises InvalidArgument when there is none (a tmpfs, a network file system).
    """
    if mountinfo is None:
        mountinfo = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    real = os.path.realpath(path)
    device = os.stat(real).st_dev
    if os.major(device) != 0:
        return whole_disk(os.major(device), os.minor(device))
    mount = _mount_of(real, mountinfo)
    if mount is not None:
        fstype, source, options = mount
        if fstype == "overlay" and options.get("upperdir", real) != real:
            return disk_of_path(options["upperdir"], mountinfo=mountinfo)
        if source.startswith("/dev/"):
            return whole_disk(*device_number(source))
    raise InvalidArgument(f"{path} is not on a disk: a block I/O limit has nothing to act on")


def _mount_of(path: str, mountinfo: str) -> tuple[str, str, dict[str, str]] | None:
    """(type, source, options) of the mount that `path` is on: the longest mount point, of equals the last."""
    best: tuple[int, list[str]] | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        mountpoint = left.split(" ")[4].replace("\\040", " ")
        beneath = path == mountpoint or mountpoint == "/" or path.startswith(mountpoint + "/")
        if beneath and (best is None or len(mountpoint) >= best[0]):
            best = (len(mountpoint), right.split(" "))
    if best is None or len(best[1]) < 3:
        return None
    fstype, source, text = best[1][:3]
    options = dict(option.partition("=")[::2] for option in text.split(","))
    return fstype, source, options
