"""A container's record: `<root>/<id>/state.json`, written atomically; its status, looked up, never stored."""

from __future__ import annotations

import os
import time

from corten.errors import Conflict, InvalidArgument, NotFound
from corten.oci import struct
from corten.oci.runtime_spec import Spec, State, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")


class Record(struct.Struct, kw_only=True, rename="camel"):
    """What later commands need to know."""

    id: str
    pid: int = 0
    pid_start: int = 0
    bundle: str
    rootfs: str = ""
    created: str = ""
    owner: str = ""
    annotations: dict[str, str] = {}
    cgroup: str = ""
    no_pivot: bool = False
    version: str = ""


class Container:
    """One container's directory."""

    def __init__(self, root: str, record: Record) -> None:
        self.root = root
        self.record = record

    @property
    def directory(self) -> str:
        return os.path.join(self.root, self.record.id)

    @property
    def fifo(self) -> str:
        """Is there while the container has not been started."""
        return os.path.join(self.directory, "exec.fifo")

    @property
    def status(self) -> str:
        """creating, created, running, paused or stopped."""
        record = self.record
        if record.pid == 0:
            return "creating"
        found = process_start(record.pid)
        if found is None or found != record.pid_start:
            return "stopped"
        if os.path.exists(self.fifo):
            return "created"
        group = self.cgroup()
        if group is not None and group.frozen:
            return "paused"
        return "running"

    def cgroup(self) -> Any:
        """Its `Cgroup`, or None."""
        from corten.runtime.cgroup.control import Cgroup

        if not self.record.cgroup:
            return None
        try:
            return Cgroup.open(self.record.cgroup)
        except NotFound:
            return None

    def spec(self) -> Spec:
        """The config that it was created from."""
        with open(os.path.join(self.directory, "config.json"), "rb") as file:  # noqa: PTH123
            return decode(file.read(), "the container's config.json")

    def state(self) -> State:
        record = self.record
        status = self.status
        return State(
            oci_version=record.version,
            id=record.id,
            status=status,
            pid=0 if status == "stopped" else record.pid,
            bundle=record.bundle,
            annotations=record.annotations,
        )

    def make(self, spec: Spec) -> None:
        """Take the id: Conflict when another container has it."""
        os.makedirs(self.root, 0o711, exist_ok=True)
        try:
            os.mkdir(self.directory, 0o711)
        except FileExistsError:
            raise Conflict(f"container with id {self.record.id} exists already: delete it first") from None
        write_atomically(os.path.join(self.directory, "config.json"), encode(spec))
        self.save()

    def save(self) -> None:
        write_atomically(os.path.join(self.directory, "state.json"), struct.encode(self.record))

    def remove(self) -> None:
        """Forget the container."""
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))
        os.rmdir(self.directory)


def write_atomically(path: str, data: bytes) -> None:
    """Write beside, then rename: readers see the old or the new."""
    beside = f"{path}.{os.getpid()}"
    with open(beside, "wb") as file:  # noqa: PTH123
        file.write(data)
    os.rename(beside, path)


def check_id(container_id: str) -> str:
    """The id, when it is one."""
    if not _ID.issuperset(container_id) or container_id in ("", ".", "..") or len(container_id) > 255:
        raise InvalidArgument(f"{container_id!r} is no container id: use letters, digits and _ + - .")
    return container_id


def load(root: str, container_id: str) -> Container:
    """The container `container_id`; NotFound when there is none."""
    path = os.path.join(root, check_id(container_id), "state.json")
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            record = struct.decode(file.read(), type=Record)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"container {container_id} does not exist") from None
    except struct.DecodeError as error:
        raise NotFound(f"the state of container {container_id} ({path}) cannot be read: {error}") from error
    return Container(root, record)


def load_all(root: str) -> list[Container]:
    """All containers, by id."""
    result = []
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    for name in names:
        try:
            result.append(load(root, name))
        except (NotFound, InvalidArgument):
            continue
    return result


def process_start(pid: int) -> int | None:
    """When the process began (clock ticks since boot), or None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def now() -> str:
    """The present, as the state has it."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e9):09d}Z"
