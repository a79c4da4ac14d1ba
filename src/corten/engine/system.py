"""The system facet: info, version, disk usage."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
from collections import Counter
from functools import cache
from pathlib import Path

from corten.api.system import (
    API_VERSION,
    MIN_API_VERSION,
    ComponentVersion,
    DiskUsage,
    ImagesDiskUsage,
    Info,
    PlatformName,
    RuntimeInfo,
    Version,
)
from corten.api.volume import VolumeUsage
from corten.content.allocation import allocated
from corten.engine import rootless
from corten.engine.builds import BuildService
from corten.engine.containers import ContainerService
from corten.engine.core import Core
from corten.engine.fsck import Fsck
from corten.engine.images import ImageService
from corten.engine.state import Status
from corten.engine.timestamp import now, rfc3339
from corten.engine.volumes import VolumeService
from corten.errors import InvalidArgument
from corten.image.footprint import measure
from corten.runtime.capabilities import last_capability
from corten.version import __version__

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class SystemService:
    """What the engine is and what it uses."""

    def __init__(
        self,
        core: Core,
        containers: ContainerService,
        images: ImageService,
        volumes: VolumeService,
        builds: BuildService,
    ) -> None:
        self._core = core
        self._containers = containers
        self._images = images
        self._volumes = volumes
        self._builds = builds
        self.fsck = Fsck(core)

    async def info(self) -> Info:
        core = self._core
        status = Counter(container.state.status for container in core.catalog)
        running = status[Status.RUNNING] + status[Status.RESTARTING]
        controllers = core.layout.controllers
        host = os.uname()
        version_2 = core.layout.kind == "v2"
        return Info(
            id=hashlib.sha256(str(core.paths.root).encode()).hexdigest()[:32],
            containers=len(core.catalog),
            containers_running=running,
            containers_paused=status[Status.PAUSED],
            containers_stopped=len(core.catalog) - running - status[Status.PAUSED],
            images=len(await self._images.list()),
            driver_status=[["Backing Filesystem", "overlay"], ["Cgroup layout", core.layout.kind]],
            memory_limit="memory" in controllers,
            swap_limit="memory" in controllers,
            cpu_cfs_period="cpu" in controllers,
            cpu_cfs_quota="cpu" in controllers,
            cpu_shares="cpu" in controllers,
            cpu_set="cpuset" in controllers,
            pids_limit="pids" in controllers,
            oom_kill_disable="memory" in controllers and not version_2,
            n_fd=len(os.listdir("/proc/self/fd")),
            system_time=rfc3339(now()),
            cgroup_version="2" if version_2 else "1",
            kernel_version=host.release,
            operating_system=_os_release().get("PRETTY_NAME", "Linux"),
            os_version=_os_release().get("VERSION_ID", ""),
            architecture=host.machine,
            n_cpu=os.cpu_count() or 1,
            mem_total=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            docker_root_dir=str(core.paths.root),
            name=core.host_name,
            server_version=__version__,
            runtimes={"corten": RuntimeInfo(path="corten-runtime")},
            init_binary="corten",
            security_options=self._security(),
            warnings=self._warnings() or None,
        )

    def _warnings(self) -> list[str]:
        state = rootless.current()
        if state is None:
            return []
        found = [f"WARNING: {state.note}"] if state.note else []
        if rootless.delegated_cgroup() is None:
            found.append("WARNING: no cgroup is delegated to this user: limits of containers are not kept")
        return found

    def _security(self) -> list[str]:
        options = ["name=seccomp,profile=builtin", "name=cgroupns"]
        if Path("/sys/kernel/security/apparmor/profiles").exists():
            options.insert(0, "name=apparmor")
        if self._core.rootless:
            options.append("name=rootless")
        return options

    def version(self) -> Version:
        host = os.uname()
        version = __version__
        architecture = _ARCHITECTURES.get(host.machine, host.machine)
        python = f"Python {platform.python_version()}"
        return Version(
            platform=PlatformName(name="Corten"),
            components=[
                ComponentVersion(
                    name="Engine",
                    version=version,
                    # The docker command shows these, not the fields beside them.
                    details={
                        "ApiVersion": API_VERSION,
                        "MinAPIVersion": MIN_API_VERSION,
                        "Arch": architecture,
                        "Os": "linux",
                        "KernelVersion": host.release,
                        "GoVersion": python,
                        "GitCommit": "",
                        "BuildTime": "",
                        "Experimental": "false",
                    },
                ),
                ComponentVersion(
                    name="corten-runtime",
                    version=version,
                    details={"Capabilities": str(last_capability() + 1)},
                ),
            ],
            version=version,
            arch=architecture,
            kernel_version=host.release,
            go_version=python,
        )

    async def df(self, types: tuple[str, ...] = ()) -> DiskUsage:
        """Disk usage of containers, images, volumes and the build cache, as du(1) counts: blocks, and a file
        with several names once. `types` picks of container, image, volume, build-cache."""
        for kind in types:
            if kind not in ("container", "image", "volume", "build-cache"):
                raise InvalidArgument(f"unknown object type: {kind}")
        result = DiskUsage()
        paths = self._core.paths
        if not types or "image" in types:
            footprint = await asyncio.to_thread(measure, self._core.images.registrar)
            _, result.images = await self._images.usage()
            unused = [image.id for image in result.images if not image.containers]
            result.layers_size = footprint.total
            result.images_disk_usage = ImagesDiskUsage(
                active_count=len(result.images) - len(unused),
                total_count=len(result.images),
                reclaimable=footprint.freed_without(unused),
                total_size=footprint.total,
            )
        if not types or "container" in types:
            result.containers = await self._containers.list(all=True, size=True)
            for container in result.containers:
                place = paths.container(container.id)
                container.size_rw = await asyncio.to_thread(allocated, [place])
        if not types or "volume" in types:
            result.volumes = await self._volumes.usage()
            for volume in result.volumes:
                if isinstance(volume.usage_data, VolumeUsage) and volume.driver == "local":
                    place = paths.volumes / volume.name
                    volume.usage_data.size = await asyncio.to_thread(allocated, [place])
        if not types or "build-cache" in types:
            result.build_cache = await self._builds.usage()
        return result


@cache
def _os_release() -> dict[str, str]:
    try:
        return dict(platform.freedesktop_os_release())
    except OSError:
        return {}
