"""The mounts of RUN."""

from __future__ import annotations

from corten.build import graph
from corten.build.instructions.types import Mount, Run
from corten.build.parser.quotation import quoted
from corten.build.parser.source_error import error_at
from corten.build.plan import paths
from corten.build.plan.outline_record import NeededSecret
from corten.build.plan.planning import Planning
from corten.build.plan.stage_state import Command, StageState
from corten.build.plan.vertices import Inputs

_AGENT_SOCKET = "/run/buildkit/ssh_agent.{}"


class MountPlan:
    """The mounts of one RUN, and the vertices that they show. `inputs` are those behind the root file
    system; `agent_socket` is that of the first ssh mount."""

    def __init__(self, planning: Planning, state: StageState, instruction: Run, command: Command) -> None:
        self.inputs = Inputs()
        self.mounts: list[graph.Mount] = []
        self.agent_socket = ""
        self._planning = planning
        self._state = state
        self._run = instruction
        self._agents = 0
        for mount, source in zip(instruction.mounts, command.sources, strict=True):
            self.mounts.append(self._mount(mount, source))

    def _mount(self, mount: Mount, source: StageState) -> graph.Mount:
        match mount.type:
            case "secret":
                return self._secret(mount)
            case "ssh":
                return self._agent(mount)
            case "tmpfs":
                return graph.TmpfsMount(self._target(mount), mount.size)
            case "cache":
                return self._cache(mount, source)
        return self._bind(mount, source)

    def _target(self, mount: Mount) -> str:
        target = paths.absolute(self._state.directory, mount.target)
        if target == "/":
            raise error_at(self._run.node, f"invalid mount target {quoted(mount.target)}", mount.text)
        return target

    def _bind(self, mount: Mount, source: StageState) -> graph.BindMount:
        if mount.from_stage:
            self._check_defined(mount, source)
        vertex = source.vertex if mount.from_stage else self._planning.context()
        return graph.BindMount(
            self.inputs.place(vertex), paths.absolute("/", mount.source), self._target(mount), mount.readonly
        )

    def _cache(self, mount: Mount, source: StageState) -> graph.CacheMount:
        if mount.from_stage:
            self._check_defined(mount, source)
        namespace = self._planning.build_args.get("BUILDKIT_CACHE_MOUNT_NS", "")
        selector = paths.absolute("/", mount.source)
        vertex = source.vertex if mount.from_stage else None
        # A directory with an owner of its own begins empty, unless it is said what it begins as.
        has_owner = selector == "/" and (mount.mode, mount.uid, mount.gid) != (None, None, None)
        return graph.CacheMount(
            f"{namespace}/{mount.id or paths.clean(mount.target)}",
            self._target(mount),
            mount.sharing or "shared",
            mount.readonly,
            input=None if vertex is None or has_owner else self.inputs.place(vertex),
            selector=selector,
            mode=0o755 if mount.mode is None else mount.mode,
            uid=mount.uid or 0,
            gid=mount.gid or 0,
        )

    def _check_defined(self, mount: Mount, source: StageState) -> None:
        if not source.dispatched:
            raise error_at(
                self._run.node,
                f"cannot mount from stage {quoted(mount.from_stage)} to {quoted(mount.target)}, stage needs "
                "to be defined before current command",
                mount.text,
            )

    def _secret(self, mount: Mount) -> graph.SecretMount:
        id = mount.source or mount.id or paths.base(mount.target)
        target = mount.target
        if mount.env is None:
            target = target or f"/run/secrets/{paths.base(id)}"
        self._state.outline.secrets.setdefault(id, NeededSecret(mount.required, self._run.lines))
        return graph.SecretMount(
            id,
            target=paths.absolute(self._state.directory, target) if target else "",
            environment="" if mount.env is None else mount.env or id,
            required=mount.required,
            mode=0o400 if mount.mode is None else mount.mode,
            uid=mount.uid or 0,
            gid=mount.gid or 0,
        )

    def _agent(self, mount: Mount) -> graph.SshMount:
        if mount.source:
            raise error_at(self._run.node, "ssh does not support source", mount.text)
        id = mount.id or "default"
        target = paths.absolute(self._state.directory, mount.target or _AGENT_SOCKET.format(self._agents))
        self._agents += 1
        self.agent_socket = self.agent_socket or target
        self._state.outline.agents.setdefault(id, NeededSecret(mount.required, self._run.lines))
        return graph.SshMount(
            id,
            target,
            required=mount.required,
            mode=0o600 if mount.mode is None else mount.mode,
            uid=mount.uid or 0,
            gid=mount.gid or 0,
        )
