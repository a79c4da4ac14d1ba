"""Platforms as Dockerfiles see them, and the ARGs that tell of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from corten.errors import InvalidArgument
from corten.oci.platform import Platform, host_platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def docker_form(platform: Platform) -> Platform:
    """As containerd normalises it: 64-bit ARM has no variant unless it is above v8."""
    platform = platform.normalized()
    if platform.architecture == "arm64" and platform.variant == "v8":
        return msgspec.structs.replace(platform, variant=None)
    return platform


def image_platform(said: Platform) -> Platform:
    """What an image says of itself, which may be anything."""
    try:
        return docker_form(said)
    except InvalidArgument:
        return said


def parse_platform(text: str) -> Platform:
    """`linux/arm64` and the like. InvalidArgument."""
    return docker_form(Platform.parse(text))


def build_platform(chosen: Platform | None) -> Platform:
    """That on which processes run."""
    return docker_form(chosen if chosen is not None else host_platform())


def predefined(build: Platform, target: Platform, stage: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """The ARGs that need not be declared in front of FROM. `stage` is the target's name."""
    arguments = {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": build.os_version or "",
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant or "",
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": target.os_version or "",
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant or "",
        "TARGETSTAGE": stage or "default",
    }
    return {name: overrides.get(name, value) for name, value in arguments.items()}


def cross_suffix(platform: Platform, variables: Mapping[str, str]) -> str:
    """`->arm64`, where a stage of `platform` declares TARGET* ARGs and they say another one."""
    target = _declared_target(platform, variables)
    if target is None:
        return ""
    if target.os != platform.os:
        return f"->{target}"
    if target.architecture == platform.architecture:
        return ""
    return "->" + "/".join(part for part in (target.architecture, target.variant) if part)


def _declared_target(platform: Platform, variables: Mapping[str, str]) -> Platform | None:
    whole = variables.get("TARGETPLATFORM")
    try:
        if whole is not None:
            return parse_platform(whole)
        parts = [variables.get(name) for name in ("TARGETOS", "TARGETARCH", "TARGETVARIANT")]
        if all(part is None for part in parts):
            return None
        system, architecture, variant = parts
        return docker_form(
            Platform(architecture or platform.architecture, system or platform.os, variant or None)
        )
    except InvalidArgument:
        return None
