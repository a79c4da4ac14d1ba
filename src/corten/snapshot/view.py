"""Looking into a stopped container: a worker process mounts its overlay in a mount namespace of its own.

No mount is ever visible on the host, and nothing needs cleaning when the worker dies.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from corten.errors import InvalidArgument, Unsupported
from corten.linux import mount as m
from corten.linux.erofs import open_image
from corten.linux.namespace import CLONE_NEWNS, unshare
from corten.runtime.lower import private_mounts
from corten.snapshot import archive
from corten.snapshot.diff import Change, changes
from corten.snapshot.worker_process import Worker

_FUNCTIONS = ("stat_path", "pack_path", "pack_tree", "unpack_path", "changes")


def run_in_view(
    lowers: Sequence[str],
    upper: str,
    work: str,
    function: str,
    *args: Any,
    fds: Sequence[int] = (),
    readonly: bool = False,
) -> Any:
    """Calls `function` ("stat_path", "pack_path", "pack_tree", "unpack_path" of `snapshot.archive`, or
    "changes") on the container's tree in a worker process.

    Its `read`/`write` go to `fds[0]` (a pipe, socket or file), everything else in `args` must be plain
    values; for unpack_path they are those behind `read`. Returns its result; raises its CortenError.
    Blocks: call it in a thread.
    """
    if function not in _FUNCTIONS:
        raise InvalidArgument(f"no function {function!r} works on a container's tree")
    if function == "changes":
        return changes(upper, lowers)
    with Worker(fds=fds) as worker:
        result = worker.call(
            "view",
            lowers=[str(lower) for lower in lowers],
            mounts=private_mounts(lowers),
            upper=upper,
            work=work,
            function=function,
            arguments=list(args),
            fd=fds[0] if fds else -1,
            readonly=readonly,
        )
    return archive.PathStat(**result) if isinstance(result, dict) else result


def serve(
    lowers: list[str],
    mounts: list[list[str]],
    upper: str,
    work: str,
    function: str,
    arguments: list[Any],
    fd: int,
    readonly: bool,
) -> Any:
    """The worker's side."""
    unshare(CLONE_NEWNS)
    m.mount(None, b"/", None, m.MS_PRIVATE | m.MS_REC, None)
    lowers = [_layer(lower, *mount) for lower, mount in zip(lowers, mounts, strict=True)]
    mount_overlay(lowers, upper, work, upper, readonly=readonly)
    root_fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if function == "stat_path":
        return asdict(archive.stat_path(root_fd, *arguments))
    if function == "pack_path":
        return asdict(archive.pack_path(root_fd, arguments[0], _writer(fd)))
    if function == "pack_tree":
        return archive.pack_tree(root_fd, _writer(fd))
    path, *options = arguments
    return archive.unpack_path(root_fd, path, lambda size: os.read(fd, size), *options)


def _layer(lower: str, mount_point: str, source: str, device: str) -> str:
    """Where the layer is; mounted here first, when it has to be."""
    if not mount_point:
        return lower
    try:
        fd = open_image(os.fsencode(source), os.fsencode(device))
        target = os.open(mount_point, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
        m.move_mount(fd, target)
    except OSError as error:
        raise Unsupported(f"cannot mount the layer at {mount_point}: {error}") from error
    os.close(target)
    os.close(fd)
    return mount_point


def mount_overlay(
    lowers: Sequence[str], upper: str, work: str, target: str, *, readonly: bool = False
) -> None:
    """Mounts an overlay at `target` (which may be `upper`: it is hidden only in this mount namespace)."""
    try:
        fd = _by_context(lowers, upper, work, readonly)
    except OSError as error:
        # Before Linux 6.5 the option is not known: some versions say so only when the whole is made.
        if error.errno != errno.EINVAL:
            raise Unsupported(f"cannot mount the container's file system: {error}") from error
        _classic(lowers, upper, work, target, readonly)
        return
    target_fd = os.open(target, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    m.move_mount(fd, target_fd)
    os.close(target_fd)
    os.close(fd)


def _options(upper: str, work: str) -> list[tuple[bytes, bytes | None]]:
    options: list[tuple[bytes, bytes | None]] = [
        (b"upperdir", os.fsencode(upper)),
        (b"workdir", os.fsencode(work)),
    ]
    with open("/proc/self/uid_map") as file:  # noqa: PTH123
        if file.read().split() != ["0", "0", "4294967295"]:
            options.append((b"userxattr", None))
    return options


def _by_context(lowers: Sequence[str], upper: str, work: str, readonly: bool) -> int:
    """Layers go in one by one (Linux 6.5): their number is not limited by a page of text."""
    context = m.fsopen(b"overlay")
    try:
        for lower in lowers:
            m.fsconfig(context, m.FSCONFIG_SET_STRING, b"lowerdir+", os.fsencode(lower))
        for key, value in _options(upper, work):
            kind = m.FSCONFIG_SET_FLAG if value is None else m.FSCONFIG_SET_STRING
            m.fsconfig(context, kind, key, value)
        m.fsconfig(context, m.FSCONFIG_CMD_CREATE)
        return m.fsmount(context, m.MOUNT_ATTR_RDONLY if readonly else 0)
    finally:
        os.close(context)


def _classic(lowers: Sequence[str], upper: str, work: str, target: str, readonly: bool) -> None:
    base = os.path.commonpath(lowers) if len(lowers) > 1 else os.path.dirname(lowers[0])
    names = ":".join(
        os.path.relpath(lower, base).replace("\\", "\\\\").replace(":", "\\:") for lower in lowers
    )
    parts = [b"lowerdir=" + os.fsencode(names)]
    parts += [key if value is None else key + b"=" + value for key, value in _options(upper, work)]
    os.chdir(base)
    try:
        flags = m.MS_RDONLY if readonly else 0
        m.mount(b"overlay", os.fsencode(target), b"overlay", flags, b",".join(parts))
    except OSError as error:
        raise Unsupported(f"cannot mount the container's file system: {error}") from error


def _writer(fd: int) -> Callable[[bytes | memoryview], None]:
    def write(data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    return write


__all__ = ["Change", "mount_overlay", "run_in_view", "serve"]
