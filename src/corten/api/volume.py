"""Volumes."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from corten.api.message import Message


class VolumeCreate(Message, kw_only=True):
    """POST /volumes/create; an empty name asks for an anonymous volume."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    cluster_volume_spec: dict[str, Any] | None = None


class VolumeUsage(Message, kw_only=True):
    """-1 is "not calculated"."""

    size: int = -1
    ref_count: int = -1


class Volume(Message, kw_only=True):
    """An entry of GET /volumes, and GET /volumes/{name}."""

    name: str
    driver: str = "local"
    mountpoint: str = ""
    created_at: str = ""
    status: dict[str, Any] | UnsetType = UNSET
    labels: dict[str, str] | None = None
    scope: str = "local"
    options: dict[str, str] | None = None
    usage_data: VolumeUsage | UnsetType = UNSET


class VolumeList(Message, kw_only=True):
    volumes: list[Volume] = []
    warnings: list[str] | None = None


class VolumesPruned(Message, kw_only=True):
    volumes_deleted: list[str] | None = None
    space_reclaimed: int = 0


VOLUME_ANONYMOUS_LABEL = "com.docker.volume.anonymous"
