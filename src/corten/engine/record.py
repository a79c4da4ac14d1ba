"""What the engine knows about one container: what it is (definition), how it is (state), what serves it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import msgspec

from corten.api.container import ContainerConfig, HealthLogEntry
from corten.api.host_config import HostConfig
from corten.api.network import EndpointSettings
from corten.engine.results import Exit, StdioFds
from corten.engine.state import Status

if TYPE_CHECKING:
    from corten.launch.client import Attachment, Monitor
    from corten.oci.runtime_spec import Spec
    from corten.runtime.operations import Plan


class MountRecord(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A mount that was decided when the container was created.

    `type` is bind, volume, tmpfs or image; `source` a path of the host, for a volume its name is `name`.
    `options` are for mount(2), in addition to rw/ro and the propagation.
    """

    type: str
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    options: tuple[str, ...] = ()
    subpath: str = ""
    no_copy: bool = False
    id_map: bool = False
    non_recursive: bool = False
    anonymous: bool = False
    # How it came: bind ("-v"), mount ("--mount"), image (VOLUME), from (--volumes-from), tmpfs ("--tmpfs").
    origin: str = "bind"
    # Of an image mount.
    image_id: str = ""


class Definition(msgspec.Struct, kw_only=True):
    """What a container is. Only `update` changes it. `path` and `args` are the command to run."""

    config: ContainerConfig
    host_config: HostConfig
    endpoints: dict[str, EndpointSettings | None] = {}
    image_id: str
    chain: tuple[str, ...] = ()
    mounts: list[MountRecord] = []
    path: str = ""
    args: list[str] = []


class HealthRecord(msgspec.Struct, kw_only=True):
    """The health of a container with a healthcheck, as far as inspect shows it."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[HealthLogEntry] = []


class StateRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a container is. Times are ns since the epoch, 0 for never."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started_at: int = 0
    finished_at: int = 0
    restart_count: int = 0
    # Told to stop by a person: `unless-stopped` does not start it again with the engine.
    manually_stopped: bool = False
    # Whether the last start came to an exec: waiters of "not-running" answer at once after that.
    ran: bool = False
    health: HealthRecord | None = None


class PendingClient:
    """A client that attached before the start; its descriptor is the engine's until the launcher has it."""

    __slots__ = ("attachment", "closed", "owned")

    def __init__(self, attachment: Attachment, closed: asyncio.Future[None]) -> None:
        self.attachment = attachment
        self.closed = closed
        self.owned = True

    def close_fd(self) -> None:
        """Closes our descriptor, once."""
        if self.owned:
            self.owned = False
            os.close(self.attachment.fd)

    def drop(self) -> None:
        """Nothing will come of it: hangs up."""
        self.close_fd()
        if not self.closed.done():
            self.closed.set_result(None)


class Container:
    """One container in memory. `definition` and `state` are in the database as well: see `catalog`."""

    __slots__ = (
        "backoff",
        "cgroup",
        "created",
        "definition",
        "ended",
        "exec_plan",
        "execs",
        "health_task",
        "id",
        "lock",
        "monitor",
        "name",
        "pending",
        "removal",
        "restart_task",
        "spec",
        "state",
        "stays",
        "stdio",
        "supervisor",
        "waiters",
    )

    def __init__(self, id: str, name: str, created: int, definition: Definition, state: StateRecord) -> None:
        self.id = id
        self.name = name
        self.created = created
        self.definition = definition
        self.state = state
        # Held across one transition of this container, never across the life of its process.
        self.lock = asyncio.Lock()
        self.monitor: Monitor | None = None
        self.supervisor: asyncio.Task[None] | None = None
        self.restart_task: asyncio.Task[None] | None = None
        self.health_task: asyncio.Task[None] | None = None
        # Set when the process that runs now has ended and the state says so.
        self.ended: asyncio.Future[Exit] | None = None
        # Callers of wait, by condition.
        self.waiters: dict[str, list[asyncio.Future[Exit]]] = {}
        self.pending: list[PendingClient] = []
        self.stdio: StdioFds | None = None
        # Ids of its execs, oldest first.
        self.execs: dict[str, None] = {}
        # The specification that runs, as long as this engine knows it: execs take their limits from it.
        self.spec: Spec | None = None
        # The cgroup that execs join, as a plan, for `spec`.
        self.cgroup: tuple[Spec, Any] | None = None
        # The plan of the last exec, and what it was made for: a loop or a health check asks for it again.
        self.exec_plan: tuple[tuple[Any, ...], Plan] | None = None
        # The last pause before a restart, in seconds.
        self.backoff = 0.0
        # Whether a removal is under way: a second one is told so.
        self.removal = False
        # --rm does not count at the moment: the end is one half of a restart.
        self.stays = False

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def config(self) -> ContainerConfig:
        return self.definition.config

    @property
    def host_config(self) -> HostConfig:
        return self.definition.host_config

    def event_attributes(self, **more: str) -> dict[str, str]:
        """What every event of a container says: its labels, image and name."""
        return {**(self.config.labels or {}), "image": self.config.image, "name": self.name, **more}
