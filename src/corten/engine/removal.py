"""Removing containers: the directory is renamed away, the row deleted; the rest happens in the background.

A crash between the two leaves a row whose directory is gone: the next start deletes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from corten.engine import waiting
from corten.engine.core import Core
from corten.engine.launching import needs_endpoint
from corten.engine.lifecycle import Lifecycle, drop_clients
from corten.engine.record import Container
from corten.engine.results import Filters, Pruned
from corten.engine.state import Status
from corten.engine.timestamp import parse_time
from corten.errors import Conflict, CortenError, InvalidArgument, NoSpace
from corten.volume.usage import disk_usage


class Removal:
    """Removes containers, one or all that are stopped."""

    def __init__(self, core: Core, lifecycle: Lifecycle) -> None:
        self._core = core
        self._lifecycle = lifecycle
        lifecycle.remove_ended = self.remove_ended
        # Set by the engine: tells the execs facet that a container is gone.
        self.forget_execs: Callable[[Container], None] = lambda container: None

    async def remove(self, container: Container, *, force: bool, volumes: bool) -> None:
        """See `ContainerService.remove`."""
        if container.removal:
            raise Conflict(f"removal of container {container.name} is already in progress")
        status = container.state.status
        if not force and (status.has_process or status is Status.RESTARTING):
            hint = "unpause and then stop" if status is Status.PAUSED else "stop"
            raise Conflict(
                f'cannot remove container "{container.name}": container is {status}: '
                f"{hint} the container before removing or force remove"
            )
        container.removal = True
        try:
            if status.has_process or status is Status.RESTARTING or container.lock.locked():
                await self._end(container, force=force)
            async with container.lock:
                await self._forget(container, volumes=volumes)
        except BaseException:
            container.removal = False
            raise

    async def remove_ended(self, container: Container) -> None:
        """--rm: with its anonymous volumes; nothing happens when somebody else removes it already."""
        if not container.removal and container.id in self._core.catalog:
            await self.remove(container, force=True, volumes=True)

    async def _end(self, container: Container, *, force: bool) -> None:
        async with container.lock:
            # A start that was under way has come to its end now.
            monitor, ended = container.monitor, container.ended
            if monitor is None and container.state.status is Status.RESTARTING:
                await self._lifecycle.stop_waiting(container)
            if monitor is None or ended is None:
                return
            if not force:
                raise Conflict(
                    f'cannot remove container "{container.name}": container is running: '
                    "stop the container before removing or force remove"
                )
            container.state.manually_stopped = True
        await self._lifecycle.kill_and_wait(container, monitor, ended)

    async def _forget(self, container: Container, *, volumes: bool) -> None:
        core = self._core
        if container.id not in core.catalog:
            return
        container.state.status = Status.REMOVING
        core.trash.discard(core.paths.container(container.id))
        await self._unregister_with_room(container)
        core.run_trash.discard(core.paths.container_run(container.id))
        drop_clients(container)
        self.forget_execs(container)
        if volumes:
            self._remove_volumes(container)
        core.publish(container, "destroy")
        waiting.wake(container, "removed", "not-running", "next-exit")

    async def _unregister_with_room(self, container: Container) -> None:
        """On a full disk, removing is what makes room: not at once, as long as the kernel takes the mounts
        of the container's last process down.
        """
        for pause in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6):
            try:
                return await self._unregister(container)
            except NoSpace:
                await asyncio.to_thread(self._core.trash.empty)
                await asyncio.sleep(pause)
        return await self._unregister(container)

    async def _unregister(self, container: Container) -> None:
        if needs_endpoint(container):
            await self._core.network.detach(container.id)
        self._core.catalog.delete(container)

    def _remove_volumes(self, container: Container) -> None:
        core = self._core
        for mount in container.definition.mounts:
            if mount.type != "volume" or core.catalog.users_of_volume(mount.name):
                continue
            volume = core.volumes.find(mount.name)
            if volume is not None and volume.anonymous:
                core.volumes.remove(mount.name)
                core.trash.schedule()
                core.events.publish("volume", "destroy", mount.name, {"driver": volume.driver})

    async def prune(self, filters: Filters | None) -> Pruned:
        """Removes the containers that do not run and that the filters (until, label, label!) let through."""
        filters = filters or {}
        for key in filters:
            if key not in ("until", "label", "label!"):
                raise InvalidArgument(f"invalid filter '{key}'")
        until = min((parse_time(text) for text in filters.get("until", ())), default=None)
        removed, reclaimed = [], 0
        for container in self._core.catalog:
            idle = container.state.status in (Status.CREATED, Status.EXITED, Status.DEAD)
            if not idle or container.removal or container.lock.locked():
                continue
            if until is not None and container.created > until:
                continue
            if not labels_match(container.config.labels or {}, filters):
                continue
            size = await asyncio.to_thread(disk_usage, self._core.paths.container(container.id) / "upper")
            try:
                await self.remove(container, force=False, volumes=False)
            except CortenError:
                continue
            removed.append(container.id)
            reclaimed += size
        self._core.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
        return Pruned(tuple(removed), reclaimed)


def labels_match(labels: dict[str, str], filters: Filters) -> bool:
    """The filters `label` (all of them must be there) and `label!` (none may)."""

    def has(wanted: str) -> bool:
        key, separator, value = wanted.partition("=")
        return key in labels and (not separator or labels[key] == value)

    return all(has(text) for text in filters.get("label", ())) and not any(
        has(text) for text in filters.get("label!", ())
    )
