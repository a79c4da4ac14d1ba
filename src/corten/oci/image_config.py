"""The image config: how a container starts from an image, its layers' diff IDs and its history.

OCI image-spec, config.md; the fields that Docker adds (Healthcheck, Shell, OnBuild) included. Go's encoders
write `null` for empty lists, so every collection may be None.
"""

from __future__ import annotations

import datetime as _datetime
from typing import Any

import msgspec

from corten.errors import IntegrityError
from corten.oci.platform import Platform


class HealthConfig(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """HEALTHCHECK. Durations are in nanoseconds; `test` begins with NONE, CMD or CMD-SHELL."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ImageRunConfig(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """The `config` object: defaults of the containers that start from the image."""

    user: str = ""
    exposed_ports: dict[str, Any] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    healthcheck: HealthConfig | None = None
    shell: list[str] | None = None
    on_build: list[str] | None = None
    args_escaped: bool = False
    hostname: str = ""
    domainname: str = ""
    stop_timeout: int | None = None


class RootFS(msgspec.Struct, frozen=True):
    """The layers: digests of their uncompressed tars, bottom first."""

    type: str = "layers"
    diff_ids: tuple[str, ...] | None = ()


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of an image's making."""

    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The image config's blob."""

    architecture: str = msgspec.field(default="")
    os: str = msgspec.field(default="")
    config: ImageRunConfig | None = None
    rootfs: RootFS | None = None
    history: tuple[History, ...] | None = None
    created: str | None = None
    author: str | None = None
    variant: str | None = None
    os_version: str | None = msgspec.field(default=None, name="os.version")
    os_features: tuple[str, ...] | None = msgspec.field(default=None, name="os.features")
    docker_version: str | None = None
    parent: str | None = None

    @property
    def run(self) -> ImageRunConfig:
        """The `config` object, or its defaults where the image has none."""
        return self.config if self.config is not None else ImageRunConfig()

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The layers' diff IDs, bottom first."""
        return (self.rootfs.diff_ids or ()) if self.rootfs is not None else ()

    @property
    def platform(self) -> Platform:
        """The platform that the image is for."""
        return Platform(self.architecture, self.os, self.variant or None)


def decode_config(data: bytes) -> ImageConfig:
    """An image config's blob; raises IntegrityError when it is none."""
    try:
        return msgspec.json.decode(data, type=ImageConfig)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"invalid image config: {error}") from error


def encode_config(config: ImageConfig) -> bytes:
    """The canonical JSON of an image config (its digest is the image's ID)."""
    return msgspec.json.encode(config)


def parse_time(text: str | None) -> int:
    """An RFC 3339 time as nanoseconds since 1970; 0 when there is none."""
    if not text:
        return 0
    whole, _, rest = text.partition(".")
    digits = ""
    if rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        whole += rest[len(digits) :]
    try:
        moment = _datetime.datetime.fromisoformat(whole.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_datetime.UTC)
        delta = moment - _datetime.datetime(1970, 1, 1, tzinfo=_datetime.UTC)
    except (ValueError, OverflowError):
        return 0
    return (delta.days * 86400 + delta.seconds) * 1_000_000_000 + int((digits + "0" * 9)[:9])


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC, with as many decimals as it needs (Go's RFC3339Nano)."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = _datetime.datetime(1970, 1, 1, tzinfo=_datetime.UTC) + _datetime.timedelta(seconds=seconds)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
