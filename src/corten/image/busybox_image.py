"""The busybox image: one static binary, its applets as links, and the files that programs expect to find."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from corten.errors import Unsupported
from corten.image.apt import PrivateApt
from corten.image.model import Progress, Report
from corten.snapshot import tar_header as h
from corten.snapshot.tar_header import Entry
from corten.snapshot.tar_writer import TarWriter

PACKAGE = "busybox-static"

_INSTALLED = ("/bin/busybox", "/usr/bin/busybox")
_PT_INTERP = 3

_DIRECTORIES = (
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("lib", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/spool", 0o755),
    ("var/spool/mail", 0o755),
    ("var/tmp", 0o1777),
    ("var/www", 0o755),
)
_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
lp:x:7:
mail:x:8:
kmem:x:9:
wheel:x:10:root
cdrom:x:11:
dialout:x:18:
floppy:x:19:
video:x:28:
audio:x:29:
tape:x:32:
www-data:x:33:
operator:x:37:
utmp:x:43:
plugdev:x:46:
staff:x:50:
lock:x:54:
netdev:x:82:
users:x:100:
nobody:x:65534:
"""
_FILES = {
    "etc/passwd": (_PASSWD, 0o644),
    "etc/group": (_GROUP, 0o644),
    "etc/shadow": ("".join(f"{line.split(':')[0]}:*:::::::\n" for line in _PASSWD.splitlines()), 0o640),
    "etc/hosts": ("127.0.0.1\tlocalhost\n::1\tlocalhost\n", 0o644),
    "etc/hostname": ("localhost\n", 0o644),
    "etc/resolv.conf": ("", 0o644),
    "etc/nsswitch.conf": ("passwd: files\ngroup: files\nhosts: files dns\n", 0o644),
    "etc/profile": ("export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", 0o644),
}


def find_binary(report: Report) -> tuple[bytes, int]:
    """busybox-static's binary and its time in nanoseconds: the host's own, or one fetched from the
    distribution."""
    for name in _INSTALLED:
        path = Path(name)
        if path.is_file() and is_static(data := path.read_bytes()):
            report(Progress(f"Taking {name} of this host (package {PACKAGE})"))
            return data, path.stat().st_mtime_ns
    with tempfile.TemporaryDirectory(prefix="corten-apt-") as directory:
        root = PrivateApt(Path(directory), report).extract(PACKAGE)
        for name in _INSTALLED:
            path = root / name[1:]
            if path.is_file():
                return path.read_bytes(), path.stat().st_mtime_ns
    raise Unsupported(f"package {PACKAGE} of this distribution holds no busybox")


def is_static(elf: bytes) -> bool:
    """Whether a 64- or 32-bit little-endian ELF program needs no dynamic loader (elf(5))."""
    if elf[:4] != b"\x7fELF" or elf[5] != 1:
        return False
    wide = elf[4] == 2
    offset = int.from_bytes(elf[32:40] if wide else elf[28:32], "little")
    start = 54 if wide else 42
    size = int.from_bytes(elf[start : start + 2], "little")
    count = int.from_bytes(elf[start + 2 : start + 4], "little")
    kinds = (int.from_bytes(elf[offset + i * size : offset + i * size + 4], "little") for i in range(count))
    return _PT_INTERP not in kinds


def applets(binary: bytes) -> list[str]:
    """The paths of the applets, as the binary itself names them (`bin/ls`, `usr/bin/awk`)."""
    with tempfile.TemporaryDirectory(prefix="corten-busybox-") as directory:
        program = Path(directory) / "busybox"
        program.write_bytes(binary)
        program.chmod(0o700)
        try:
            result = subprocess.run(
                [program, "--list-full"], capture_output=True, text=True, check=True, timeout=30
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Unsupported(
                f"the busybox of package {PACKAGE} does not run on this host: {error}"
            ) from error
    names = {name.strip().lstrip("/") for name in result.stdout.splitlines()}
    return sorted(
        name for name in names if name and ".." not in name and name not in ("bin/busybox", "linuxrc")
    )


def root_file_system(binary: bytes, mtime_ns: int) -> Iterator[bytes]:
    """The image's tar, the same for the same binary."""
    pieces: list[bytes] = []
    writer = TarWriter(lambda data: pieces.append(bytes(data)))
    _write(writer, binary, mtime_ns - mtime_ns % 1_000_000_000)
    writer.finish()
    yield from pieces


def _write(writer: TarWriter, binary: bytes, mtime_ns: int) -> None:
    def entry(name: str, kind: bytes, mode: int, link: str = "") -> Entry:
        result = Entry(name.encode(), kind)
        result.mode, result.mtime_ns, result.linkname = mode, mtime_ns, link.encode()
        return result

    links = applets(binary)
    members: dict[str, Callable[[], None]] = {}
    directories = dict(_DIRECTORIES)
    for link in links:
        head = link.rpartition("/")[0]
        while head:
            directories.setdefault(head, 0o755)
            head = head.rpartition("/")[0]
    for name, mode in directories.items():
        members[name] = lambda name=name, mode=mode: writer.add(entry(name + "/", h.DIRECTORY, mode))  # type: ignore[misc]
    for name, (text, mode) in _FILES.items():
        members[name] = lambda name=name, text=text, mode=mode: writer.file(  # type: ignore[misc]
            name.encode(), text.encode(), mode=mode, mtime_ns=mtime_ns
        )
    for link in links:
        target = "../" * link.count("/") + "bin/busybox" if not link.startswith("bin/") else "busybox"
        members[link] = lambda link=link, target=target: writer.add(entry(link, h.SYMLINK, 0o777, target))  # type: ignore[misc]
    members["bin/busybox"] = lambda: writer.file(b"bin/busybox", binary, mode=0o755, mtime_ns=mtime_ns)
    writer.add(entry("./", h.DIRECTORY, 0o755))
    for name in sorted(members):
        members[name]()
