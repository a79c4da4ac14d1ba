"""The volumes facet: the store of volumes, with events and with the rule that a volume in use stays."""

from __future__ import annotations

import asyncio
import builtins

from corten.api.volume import Volume, VolumeCreate, VolumeUsage
from corten.engine.core import Core
from corten.engine.removal import labels_match
from corten.engine.results import Filters, Pruned
from corten.engine.timestamp import rfc3339
from corten.errors import Conflict, InvalidArgument, NotFound
from corten.volume.store import Volume as Record


class VolumeService:
    """Create, look at and remove volumes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(self, request: VolumeCreate) -> Volume:
        """The volume of that name, made when it does not exist; an empty name gets a random one."""
        if request.cluster_volume_spec:
            raise InvalidArgument("cluster volumes are not supported: leave out ClusterVolumeSpec")
        record, new = self._core.volumes.create(
            request.name,
            driver=request.driver,
            options=request.driver_opts,
            labels=request.labels,
            anonymous=not request.name,
        )
        if new:
            self._core.events.publish("volume", "create", record.name, {"driver": record.driver})
        return self._show(record)

    async def inspect(self, name: str) -> Volume:
        return self._show(self._core.volumes.get(name))

    async def list(self, filters: Filters | None = None) -> builtins.list[Volume]:
        """Filters: name, driver, label, dangling."""
        filters = filters or {}
        for key in filters:
            if key not in ("name", "driver", "label", "dangling"):
                raise InvalidArgument(f"invalid filter '{key}'")
        return [self._show(record) for record in self._core.volumes.list() if self._matches(record, filters)]

    def _matches(self, record: Record, filters: Filters) -> bool:
        if (names := filters.get("name")) and not any(name in record.name for name in names):
            return False
        if (drivers := filters.get("driver")) and record.driver not in drivers:
            return False
        if not labels_match(dict(record.labels), {"label": filters.get("label", [])}):
            return False
        if dangling := filters.get("dangling"):
            wanted = dangling[0] in ("1", "true", "True")
            if wanted is bool(self._core.catalog.users_of_volume(record.name)):
                return False
        return True

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Conflict when a container uses it; `force` forgives a volume that does not exist."""
        record = self._core.volumes.find(name)
        if record is None:
            if force:
                return
            raise NotFound(f"get {name}: no such volume")
        users = self._core.catalog.users_of_volume(name)
        if users:
            ids = ", ".join(container.id for container in users)
            raise Conflict(f"remove {name}: volume is in use - [{ids}]")
        self._remove(record)

    def _remove(self, record: Record) -> None:
        self._core.volumes.remove(record.name)
        self._core.trash.schedule()
        self._core.events.publish("volume", "destroy", record.name, {"driver": record.driver})

    async def prune(self, filters: Filters | None = None) -> Pruned:
        """Unused anonymous volumes; with filter all=true named ones too. Filters: label, label!, all."""
        filters = filters or {}
        for key in filters:
            if key not in ("label", "label!", "all"):
                raise InvalidArgument(f"invalid filter '{key}'")
        everything = filters.get("all", ["false"])[0] in ("1", "true", "True")
        removed, reclaimed = [], 0
        for record in self._core.volumes.list():
            if not (record.anonymous or everything) or not labels_match(dict(record.labels), filters):
                continue
            if self._core.catalog.users_of_volume(record.name):
                continue
            size = await asyncio.to_thread(self._core.volumes.usage, record)
            # A container may have been made with it meanwhile.
            if self._core.catalog.users_of_volume(record.name):
                continue
            self._remove(record)
            removed.append(record.name)
            reclaimed += max(0, size)
        self._core.events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return Pruned(tuple(removed), reclaimed)

    async def usage(self) -> builtins.list[Volume]:
        """All volumes with their sizes and numbers of users, for `system df`."""
        result = []
        for record in self._core.volumes.list():
            volume = self._show(record)
            volume.usage_data = VolumeUsage(
                size=await asyncio.to_thread(self._core.volumes.usage, record),
                ref_count=len(self._core.catalog.users_of_volume(record.name)),
            )
            result.append(volume)
        return result

    def _show(self, record: Record) -> Volume:
        labels = dict(record.labels)
        if record.anonymous:
            labels.setdefault("com.docker.volume.anonymous", "")
        return Volume(
            name=record.name,
            driver=record.driver,
            mountpoint=str(self._core.volumes.mountpoint(record)),
            created_at=rfc3339(record.created),
            labels=labels or None,
            options=dict(record.options) or None,
        )
