"""The virtual machine's kernel and disk: a Debian root by mmdebstrap, its cloud kernel, Python and wheels.

Built once for each user and kept in a cache directory, named by the hash of all that goes in. The checkout is
not part of it: it comes on a disk of its own, made anew for each run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

SUITE = "bookworm"
PYTHON = "3.11"  # of that suite
PACKAGES = (
    "python3", "busybox-static", "iproute2", "nftables", "uidmap", "kmod", "procps", "ca-certificates",
)  # fmt: skip
WHEELS = ("pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3.5", "docker>=7", "hypothesis>=6.100")
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic")
TOOLS = ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "apt-get", "apt-cache", "dpkg-deb")
GUEST = Path(__file__).with_name("guest.sh")
CHECKOUT = Path(__file__).parents[3]


class CannotBuild(Exception):
    """Why there is no virtual machine here: a tool, a package or a wheel that cannot be had."""


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "corten-tests" / "vm"


def build() -> Path:
    """The directory with `kernel`, `initrd` and `root.ext4`; made when it is not there yet (two minutes)."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise CannotBuild(f"not installed: {', '.join(missing)}")
    kernel = _kernel_package()
    dependencies = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["dependencies"]
    wheels = sorted((*dependencies, *WHEELS))
    ingredients = "\n".join(
        (kernel, SUITE, *PACKAGES, *wheels, Path(__file__).read_text(), GUEST.read_text())
    )
    cache = cache_directory()
    target = cache / hashlib.sha256(ingredients.encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            for old in cache.iterdir():  # what an earlier state of the checkout needed
                if old.is_dir():
                    shutil.rmtree(old, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix="build-") as directory:
                made = _make(Path(directory), kernel, wheels)
                made.rename(target)
    return target


def checkout_disk(path: Path, arguments: list[str]) -> None:
    """An ext4 image of src and tests, at `path`, and of the tests to run."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("src", "tests"):
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(CHECKOUT / name, Path(directory, name), ignore=ignore, symlinks=True)
        shutil.copy(CHECKOUT / "pyproject.toml", directory)
        Path(directory, "arguments").write_text(" ".join(arguments))
        _ext4(Path(directory), path, "128M")


def _make(work: Path, kernel: str, wheels: list[str]) -> Path:
    root, packages, made = work / "root", work / "packages", work / "made"
    for directory in (packages, made):
        directory.mkdir()
    os.chmod(work, 0o755)
    _run("downloading the kernel", ["apt-get", "download", kernel], cwd=packages)
    deb = next(packages.glob("linux-image-*.deb"))
    # Not dpkg-deb -x: it would put a directory in the place of the link /lib.
    extract = f'dpkg-deb --fsys-tarfile "{deb}" | tar -x --keep-directory-symlink -C "$1"'
    index = 'chroot "$1" /sbin/depmod $(ls "$1/lib/modules")'
    hooks = [f"--customize-hook={step}" for step in (extract, index)]
    _run(
        "making the root file system",
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            *hooks,
            SUITE,
            str(root),
        ],
    )
    sys.path.insert(0, str(CHECKOUT / "scripts"))
    import environment

    try:
        pip = environment.pip(work)
    except (environment.SetupError, OSError) as error:
        raise CannotBuild(str(error)) from error
    finally:
        sys.path.pop(0)
    versions = [
        flag for name in ("manylinux2014", "manylinux_2_28") for flag in ("--platform", f"{name}_x86_64")
    ]
    _run(
        "installing the wheels",
        [
            *pip, "install", "--quiet", "--disable-pip-version-check",
            "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *versions,
            "--target", str(root / "usr/lib/python3/dist-packages"), *wheels,
        ],
    )  # fmt: skip
    (version,) = (root / "lib/modules").iterdir()
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), made / "kernel")
    (made / "initrd").write_bytes(_initrd(root, version))
    shutil.rmtree(root / "boot")
    shutil.copy(GUEST, root / "bin/guest")
    _ext4(root, made / "root.ext4", "1500M")
    return made


def _kernel_package() -> str:
    found = subprocess.run(
        ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=False
    ).stdout
    names = re.findall(r"Depends: (linux-image-\S+-cloud-amd64)", found)
    if not names:
        raise CannotBuild("apt knows no package linux-image-cloud-amd64: run apt-get update")
    return str(names[0])


def _ext4(directory: Path, image: Path, size: str) -> None:
    _run(
        f"making {image.name}",
        ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(directory), str(image), size],
    )


def _run(what: str, command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise CannotBuild(f"{what} failed: {' '.join(done.stderr.split())[-300:]}")


def _initrd(root: Path, modules: Path) -> bytes:
    """busybox, the modules that reach the disk, and an /init that goes on to it."""
    needed = [path for name in BOOT_MODULES for path in _with_dependencies(modules, name)]
    loads = "".join(f"insmod /{Path(path).name}\n" for path in dict.fromkeys(needed))
    script = f"""#!/bin/busybox sh
/bin/busybox mkdir -p /dev /root
/bin/busybox mount -t devtmpfs dev /dev
cd /
{"".join(f"/bin/busybox {line}" + chr(10) for line in loads.splitlines())}
while ! /bin/busybox mount -t ext4 /dev/vda /root; do /bin/busybox usleep 50000; done
exec /bin/busybox switch_root /root /bin/busybox sh /bin/guest
"""
    files = [
        ("init", script.encode(), 0o100755),
        ("bin/busybox", (root / "bin/busybox").read_bytes(), 0o100755),
    ]
    files += [(Path(path).name, (modules / path).read_bytes(), 0o100644) for path in dict.fromkeys(needed)]
    return b"".join(_cpio([("bin", b"", 0o040755), *files]))


def _with_dependencies(modules: Path, name: str) -> list[str]:
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        if re.fullmatch(rf"{name}\.ko(\.\w+)?", Path(path).name.replace("-", "_")):
            return [*reversed(rest.split()), path]
    return []  # built in


def _cpio(files: list[tuple[str, bytes, int]]) -> Iterator[bytes]:
    """The kernel's "newc" archive: Documentation/driver-api/early-userspace/buffer-format.rst."""
    for number, (name, data, mode) in enumerate([*files, ("TRAILER!!!", b"", 0)], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        yield head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
