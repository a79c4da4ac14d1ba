"""From a build request to the options of the plan, and to where named contexts are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from corten.api.build import BuildLimits, BuildRequest
from corten.build.graph import Limits, Ulimit
from corten.build.plan.model import (
    ImageContext,
    LayoutContext,
    LocalContext,
    NamedContext,
    PlanOptions,
    RemoteContext,
    TargetContext,
)
from corten.build.source_policy.model import Policy, parse_policy
from corten.engine.build_definition import read_ignore_file
from corten.errors import InvalidArgument, NotFound, Unsupported
from corten.oci.platform import Platform

ENTITLEMENTS = frozenset({"network.host", "security.insecure", "device"})
NETWORKS = ("default", "none", "host")


@dataclass(slots=True)
class Places:
    """Where the named contexts of a build are: directories and image layouts of this host, by name."""

    directories: dict[str, Path] = field(default_factory=dict)
    layouts: dict[str, Path] = field(default_factory=dict)


def plan_options(
    request: BuildRequest, *, ignore: tuple[str, ...], rewrite_timestamps: bool
) -> tuple[PlanOptions, Places]:
    """InvalidArgument, NotFound, Unsupported. Reads the named contexts' .dockerignore files."""
    _check(request)
    contexts, places = _contexts(request)
    options = PlanOptions(
        target=request.target,
        platforms=tuple(Platform.parse(text).normalized() for text in request.platforms),
        build_args=dict(request.build_args),
        labels=dict(request.labels),
        ignore=ignore,
        contexts=contexts,
        no_cache=request.no_cache,
        no_cache_filter=tuple(request.no_cache_filter),
        network=request.network or "default",
        hosts=tuple((host.name, host.address) for host in request.hosts),
        limits=_limits(request.limits),
        epoch=request.source_epoch,
        rewrite_timestamps=rewrite_timestamps,
        all_stages=request.call == "check",
        policy=read_policy(request),
    )
    return options, places


def read_policy(request: BuildRequest) -> Policy:
    """The client's source policy. InvalidArgument."""
    return Policy() if request.source_policy is None else parse_policy(request.source_policy)


def entitlements(request: BuildRequest) -> frozenset[str]:
    """What --allow grants (`device=NAME`: that device alone); a network that the client itself asks for needs
    no word more."""
    allowed = set(request.allow)
    if request.network == "host":
        allowed.add("network.host")
    return frozenset(allowed)


def _check(request: BuildRequest) -> None:
    if request.network not in ("", *NETWORKS):
        raise InvalidArgument(f"invalid network {request.network!r} for a build: default, none or host")
    for item in request.allow:
        if item not in ENTITLEMENTS and not item.startswith("device="):
            raise InvalidArgument(
                f"unknown entitlement {item!r}: it is one of {', '.join(sorted(ENTITLEMENTS))} or device=NAME"
            )
    if request.isolation not in ("", "default"):
        raise InvalidArgument(f"invalid isolation {request.isolation!r}: on Linux there is only default")
    for option in request.security:
        if option not in ("seccomp=builtin", "no-new-privileges=false"):
            raise Unsupported(
                f"security option {option!r} is not offered for builds: RUN --security=insecure with"
                " --allow security.insecure takes all bounds away"
            )


def _limits(limits: BuildLimits) -> Limits:
    for name in ("memory", "cpu_period", "cpu_quota", "cpu_shares", "shm_size"):
        if getattr(limits, name) < 0:
            raise InvalidArgument(f"invalid {name.replace('_', '-')}: it cannot be negative")
    return Limits(
        memory=limits.memory,
        memory_swap=limits.memory_swap,
        cpu_period=limits.cpu_period,
        cpu_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems,
        shm_size=limits.shm_size,
        cgroup_parent=limits.cgroup_parent,
        ulimits=tuple(Ulimit(item.name, item.soft, item.hard) for item in limits.ulimits),
    )


def _contexts(request: BuildRequest) -> tuple[dict[str, NamedContext], Places]:
    contexts: dict[str, NamedContext] = {}
    places = Places()
    for item in request.named_contexts:
        name, source = item.name.lower(), item.source
        if source.startswith("docker-image://"):
            contexts[name] = ImageContext(source.removeprefix("docker-image://"))
        elif source.startswith("oci-layout://"):
            path, selector = _layout(source.removeprefix("oci-layout://"), name)
            contexts[name] = LayoutContext(selector)
            places.layouts[name] = path
        elif source.startswith("target:"):
            contexts[name] = TargetContext(source.removeprefix("target:"))
        elif os.path.isabs(source):
            directory = Path(source)
            if not directory.is_dir():
                raise NotFound(f"build context {name!r}: {source} is not a directory")
            contexts[name] = LocalContext(read_ignore_file(directory))
            places.directories[name] = directory
        else:
            contexts[name] = RemoteContext(source)
    return contexts, places


def _layout(text: str, name: str) -> tuple[Path, str]:
    """`/path[:TAG][@DIGEST]`: the directory, and what picks the image."""
    path, _, digest = text.partition("@")
    tag = ""
    if not Path(path).is_dir():
        path, _, tag = path.rpartition(":")
    if not path or not (Path(path) / "oci-layout").is_file():
        raise NotFound(f"build context {name!r}: {text} is not an OCI image layout")
    return Path(path), digest or tag
