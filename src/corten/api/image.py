"""Images: lists, inspection, history, and the answers to deletion, pruning and loading."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from corten.api.container import ContainerConfig
from corten.api.message import Message
from corten.oci.descriptor import Descriptor
from corten.oci.platform import Platform

_field = msgspec.field


class ManifestSize(Message, kw_only=True):
    """Bytes: of the blobs that are here, and of everything."""

    content: int = 0
    total: int = 0


class UnpackedSize(Message, kw_only=True):
    unpacked: int = 0


class ManifestImageData(Message, kw_only=True):
    """What a manifest of the kind "image" is for."""

    platform: Platform
    containers: list[str] = []
    size: UnpackedSize = _field(default_factory=UnpackedSize)


class ManifestSummary(Message, kw_only=True):
    """A manifest of an image: one for every platform. `available`: all its blobs are here."""

    id: str = _field(name="ID")
    descriptor: Descriptor
    available: bool = False
    size: ManifestSize = _field(default_factory=ManifestSize)
    kind: str = "image"
    image_data: ManifestImageData | UnsetType = UNSET


class ImageSummary(Message, kw_only=True):
    """An entry of GET /images/json; -1 is "not calculated"."""

    id: str
    parent_id: str = ""
    repo_tags: list[str] = []
    repo_digests: list[str] = []
    created: int = 0
    size: int = 0
    shared_size: int = -1
    virtual_size: int | UnsetType = UNSET
    labels: dict[str, str] | None = None
    containers: int = -1
    descriptor: Descriptor | UnsetType = UNSET
    manifests: list[ManifestSummary] | UnsetType = UNSET


class RootFS(Message, kw_only=True):
    type: str = "layers"
    layers: list[str] = []


class ImageMetadata(Message, kw_only=True):
    last_tag_time: str = "0001-01-01T00:00:00Z"


class ImageGraphDriver(Message, kw_only=True):
    name: str = "overlay2"
    data: dict[str, str] | None = None


class ImageInspect(Message, kw_only=True):
    """GET /images/{name}/json."""

    id: str
    repo_tags: list[str] = []
    repo_digests: list[str] = []
    parent: str = ""
    comment: str = ""
    created: str = ""
    docker_version: str = ""
    author: str = ""
    config: ContainerConfig | None = None
    architecture: str = ""
    variant: str | UnsetType = UNSET
    os: str = "linux"
    os_version: str | UnsetType = UNSET
    size: int = 0
    virtual_size: int | UnsetType = UNSET
    graph_driver: ImageGraphDriver = _field(default_factory=ImageGraphDriver)
    root_fs: RootFS = _field(name="RootFS", default_factory=RootFS)
    metadata: ImageMetadata = _field(default_factory=ImageMetadata)
    descriptor: Descriptor | UnsetType = UNSET
    manifests: list[ManifestSummary] | UnsetType = UNSET


class ImageHistoryItem(Message, kw_only=True):
    """An entry of GET /images/{name}/history, newest first."""

    id: str = "<missing>"
    created: int = 0
    created_by: str = ""
    tags: list[str] | None = None
    size: int = 0
    comment: str = ""


class ImageDeleteItem(Message, kw_only=True):
    """One line of `docker rmi`: either untagged or deleted."""

    untagged: str | UnsetType = UNSET
    deleted: str | UnsetType = UNSET


class ImagesPruned(Message, kw_only=True):
    images_deleted: list[ImageDeleteItem] | None = None
    space_reclaimed: int = 0


class ProgressDetail(msgspec.Struct, kw_only=True, omit_defaults=True):
    current: int = 0
    total: int = 0


class ErrorDetail(msgspec.Struct, kw_only=True):
    message: str
    code: int | UnsetType = UNSET


class ProgressLine(msgspec.Struct, kw_only=True, rename="camel"):
    """A line of the JSON stream that load, import, pull and bootstrap answer with."""

    stream: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    progress: str | UnsetType = UNSET
    progress_detail: ProgressDetail | UnsetType = UNSET
    error: str | UnsetType = UNSET
    error_detail: ErrorDetail | UnsetType = UNSET
    aux: dict[str, Any] | UnsetType = UNSET


class SearchResult(msgspec.Struct, kw_only=True):
    name: str
    description: str = ""
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class DistributionInspect(Message, kw_only=True):
    """GET /distribution/{name}/json: what a registry has under a name."""

    descriptor: Descriptor
    platforms: list[Platform] = []
