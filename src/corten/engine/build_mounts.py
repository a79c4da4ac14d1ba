"""The mounts of a RUN: parts of other file systems, caches, secrets, the ssh agent, here-documents."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import socket
from contextlib import AsyncExitStack
from pathlib import Path

from corten.build.graph import BindMount, CacheMount, SecretMount, SshMount, TmpfsMount
from corten.build.graph import Mount as BuildMount
from corten.build.solve.cache_mounts import Beginning, CacheMounts, WantedMount
from corten.build.solve.layer_store import LayerStore
from corten.build.solve.protocols import ExecRequest, Log
from corten.build.solve.result import SCRATCH
from corten.errors import InvalidArgument, NotFound
from corten.oci.runtime_spec import Mount
from corten.runtime.plan_provided import FileMount, LayeredMount

MOUNT_POINTS = ("/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""Where every RUN gets something mounted."""
PIPES = "/dev/pipes"

AnyMount = Mount | LayeredMount | FileMount


def lowest_layer(directory: Path) -> Path:
    """A layer below all others that has the places where every RUN gets something mounted: else each would
    make what its image lacks of them, to have it removed from what it wrote."""
    for path in MOUNT_POINTS:
        place = directory / path[1:]
        if path.startswith("/etc/"):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            place.touch(0o644)
        else:
            place.mkdir(parents=True, exist_ok=True, mode=0o755)
    return directory


class RunMounts:
    """Of one RUN. What has to be given back goes onto `stack`. `directory` is the RUN's own, `empty` an empty
    one."""

    def __init__(
        self,
        request: ExecRequest,
        directory: Path,
        layers: LayerStore,
        caches: CacheMounts,
        stack: AsyncExitStack,
        log: Log,
        empty: Path,
    ) -> None:
        self._request = request
        self._directory = directory
        self._layers = layers
        self._caches = caches
        self._stack = stack
        self._log = log
        self._empty = empty
        self._scratch = str(directory / "scratch")
        self.mounts: tuple[AnyMount, ...] = ()
        self.environment: tuple[str, ...] = ()

    async def open(self) -> None:
        """Prepares all, in the order of the step. NotFound for a secret or an agent that is missing."""
        operation = self._request.operation
        caches = await self._hold_caches()
        found: list[AnyMount] = []
        environment: list[str] = []
        for position, mount in enumerate(operation.mounts):
            _check_target(mount)
            match mount:
                case BindMount():
                    found.append(self._bind(position, mount))
                case CacheMount():
                    found.append(_cache(mount, caches[position]))
                case TmpfsMount():
                    found.append(_tmpfs(mount))
                case SecretMount():
                    data = await self._secret(mount)
                    if data is not None and mount.target:
                        found.append(
                            FileMount(
                                destination=mount.target,
                                content=data,
                                scratch=self._scratch,
                                mode=mount.mode,
                                uid=mount.uid,
                                gid=mount.gid,
                            )
                        )
                    if data is not None and mount.environment:
                        environment.append(f"{mount.environment}={os.fsdecode(data)}")
                case SshMount():
                    found += await self._agent(position, mount)
        for name, data, mode in operation.here_documents:
            found.append(
                FileMount(
                    destination=f"{PIPES}/{name}",
                    content=data,
                    scratch=self._scratch,
                    mode=mode,
                    executable=True,
                )
            )
        if any(isinstance(mount, FileMount | LayeredMount) for mount in found):
            os.mkdir(self._scratch, 0o711)
        self.mounts, self.environment = tuple(found), tuple(environment)

    def _bind(self, position: int, mount: BindMount) -> AnyMount:
        lowers = self._layers.lowers(self._request.binds.get(position, SCRATCH).layers)
        upper = work = ""
        if not mount.readonly:
            own = self._directory / f"bind-{position}"
            for path in (own, own / "upper", own / "work"):
                path.mkdir(mode=0o755)
            upper, work = str(own / "upper"), str(own / "work")
        elif not lowers:
            return Mount(
                destination=mount.target, type="bind", source=str(self._empty), options=("rbind", "ro")
            )
        return LayeredMount(
            destination=mount.target,
            lowers=lowers,
            scratch=self._scratch,
            empty=str(self._empty),
            part=mount.selector,
            upper=upper,
            work=work,
        )

    async def _hold_caches(self) -> dict[int, Path]:
        wanted: dict[int, WantedMount] = {}
        for position, mount in enumerate(self._request.operation.mounts):
            if isinstance(mount, CacheMount):
                beginning = None
                if mount.input is not None:
                    result = self._request.binds.get(position, SCRATCH)
                    key = " ".join(layer.id for layer in result.layers)
                    path = "/" + mount.selector.strip("/")
                    beginning = Beginning(key, self._layers.lowers(result.layers), path)
                wanted[position] = WantedMount(
                    mount.id, mount.sharing, mount.mode, mount.uid, mount.gid, beginning
                )
        if not wanted:
            return {}
        held = self._caches.hold(
            list(wanted.values()),
            filler=self._request.filler,
            warn=lambda message: self._log(2, f"{message}\n".encode()),
        )
        return dict(zip(wanted, await self._stack.enter_async_context(held), strict=True))

    async def _secret(self, mount: SecretMount) -> bytes | None:
        data = await self._request.secrets.read(mount.id)
        if data is None and mount.required:
            raise NotFound(f"the secret {mount.id} is missing: give it with --secret id={mount.id},src=FILE")
        if data is not None and b"\0" in data and mount.environment:
            raise InvalidArgument(f"the secret {mount.id} has a zero byte in it: no variable can hold it")
        return data

    async def _agent(self, position: int, mount: SshMount) -> list[AnyMount]:
        path = await self._request.secrets.agent(mount.id)
        if path is None:
            if mount.required:
                raise NotFound(f"the ssh agent {mount.id} is missing: give it with --ssh {mount.id}")
            return []
        name = f"ssh-{position}"
        sock = _listening(self._directory, name)
        (self._directory / name).chmod(mount.mode)
        os.chown(self._directory / name, mount.uid, mount.gid)
        forwarding = _Forwarding(path)
        server = await asyncio.start_unix_server(forwarding.serve, sock=sock)
        self._stack.push_async_callback(forwarding.close)
        self._stack.callback(server.close)
        return [
            Mount(
                destination=mount.target,
                type="bind",
                source=str(self._directory / name),
                options=("bind", "nosuid", "nodev", "noexec"),
            )
        ]


def _check_target(mount: BuildMount) -> None:
    """What a process says of itself in /proc, and what is masked there, is not to be replaced."""
    target = posixpath.normpath("/" + mount.target.lstrip("/"))
    if target == "/proc" or target.startswith("/proc/"):
        raise InvalidArgument(f"{mount.target} cannot be mounted because it is inside /proc")


def _listening(directory: Path, name: str) -> socket.socket:
    """sun_path holds 107 bytes: the name is given relative to a descriptor."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.bind(f"/proc/self/fd/{fd}/{name}")
    except OSError:
        sock.close()
        raise
    finally:
        os.close(fd)
    return sock


class _Forwarding:
    """Connections to the client's agent: its socket is the client's own, with the client's permissions."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            try:
                agent_reader, agent_writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                return
            try:
                ways = (
                    asyncio.create_task(_copy(reader, agent_writer)),
                    asyncio.create_task(_copy(agent_reader, writer)),
                )
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            finally:
                agent_writer.close()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def close(self) -> None:
        """Ends those that are open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


def _cache(mount: CacheMount, directory: Path) -> Mount:
    access = "ro" if mount.readonly else "rw"
    return Mount(
        destination=mount.target,
        type="bind",
        source=str(directory),
        options=("rbind", access, "nosuid", "nodev"),
    )


def _tmpfs(mount: TmpfsMount) -> Mount:
    options = ("nosuid", "nodev", "mode=1777", *((f"size={mount.size}",) if mount.size else ()))
    return Mount(destination=mount.target, type="tmpfs", source="tmpfs", options=options)
