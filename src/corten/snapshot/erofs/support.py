"""What this kernel can do with EROFS images, found out by mounting two tiny ones."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from corten.linux import mount as m
from corten.linux.erofs import open_image
from corten.linux.loop import attach
from corten.snapshot.erofs.disk_format import SUPER_OFFSET
from corten.snapshot.erofs.image_writer import ImageWriter
from corten.snapshot.erofs.node import implied_directory

DETACHED, FILE, LOOP = "detached", "file", "loop"


@dataclass(frozen=True, slots=True)
class Support:
    """`method`: DETACHED (files are mounted, and overlay takes detached mounts: Linux 6.15), FILE (files are
    mounted: 6.12), LOOP (block devices are: 5.16). `in_tar`: blocks of 512 bytes work (6.4).

    LOOP comes before FILE: all mounts of one device share a superblock, and so their page cache."""

    method: str
    in_tar: bool


def probe(directory: Path) -> Support | None:
    """What works in `directory`'s file system; None when nothing does, as in a user namespace.

    A result is kept in `directory` for this kernel and this file system (a tmpfs backs no mount of a file),
    but only a good one: a module may be loaded later.
    """
    if os.geteuid() != 0 or Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        return None
    kernel = f"{platform.release()} {platform.version()} on device {directory.stat().st_dev}"
    record = directory / ".erofs-support"
    try:
        kept = json.loads(record.read_text())
        if kept.pop("kernel") == kernel:
            return Support(**kept)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        pass
    found = _try(directory)
    if found is not None:
        temporary = directory / f".erofs-support.{os.getpid()}"
        temporary.write_text(json.dumps({"kernel": kernel, **asdict(found)}))
        temporary.rename(record)
    return found


def _try(directory: Path) -> Support | None:
    with tempfile.TemporaryDirectory(dir=directory, prefix=".erofs-probe-") as scratch:
        images = {}
        for bits in (9, 12):
            images[bits] = Path(scratch, f"image-{bits}")
            fd = os.open(images[bits], os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                writer = ImageWriter(
                    fd,
                    implied_directory(),
                    block_bits=bits,
                    start=4 * SUPER_OFFSET,
                    device_size=bits == 9 or None,
                )
                writer.write()
            finally:
                os.close(fd)
        data = Path(scratch, "data")
        data.write_bytes(bytes(4096))
        attempts: tuple[tuple[Callable[[Path, Path | None], int], int, Path | None, str], ...] = (
            (_from_file, 9, data, DETACHED),
            (_from_loop, 9, data, LOOP),
            (_from_loop, 12, None, LOOP),
            (_from_file, 9, data, FILE),
        )
        for mount, bits, second, method in attempts:
            try:
                fd = mount(images[bits], second)
            except OSError:
                continue
            try:
                if method != DETACHED or _overlay_takes(fd, scratch):
                    return Support(method, bits == 9)
            finally:
                os.close(fd)
    return None


def _from_file(image: Path, data: Path | None) -> int:
    return open_image(os.fsencode(image), os.fsencode(data) if data else b"")


def _from_loop(image: Path, data: Path | None) -> int:
    with contextlib.ExitStack() as stack:
        names = []
        for path in (image, data):
            if path is None:
                names.append(b"")
                continue
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, file)
            name, device = attach(file)
            stack.callback(os.close, device)
            names.append(name.encode())
        return open_image(*names)


def _overlay_takes(mount: int, directory: str) -> bool:
    """Whether an overlay can be made of a detached mount (and `directory`: without an upper one it takes
    two)."""
    try:
        context = m.fsopen(b"overlay")
    except OSError:
        return False
    try:
        for lower in (b"/proc/self/fd/%d" % mount, os.fsencode(directory)):
            m.fsconfig(context, m.FSCONFIG_SET_STRING, b"lowerdir+", lower)
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
    except OSError:
        return False
    finally:
        os.close(context)
    return True
