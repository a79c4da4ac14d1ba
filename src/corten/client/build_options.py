"""From Python's keyword arguments to a build request (`corten.api.build.BuildRequest`)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from corten.api.build import (
    Attributes,
    BuildLimits,
    BuildRequest,
    BuildUlimit,
    Context,
    ContextDirectory,
    ContextEmpty,
    ContextRemote,
    ContextUpload,
    HostEntry,
    NamedContext,
    Secret,
    SshAgent,
)
from corten.client.cache_environment import SECRETS, complete
from corten.client.container_options import Size
from corten.client.units import parse_bytes
from corten.errors import InvalidArgument

# {"type": "local", "dest": "out"}
Spec = Mapping[str, str]

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@")
_NAMED = ("docker-image://", "target:", *_REMOTE)


class BuildOptions(TypedDict, total=False):
    """The options of `images.build`. All are optional; the names are those of the command's flags.

    `dockerfile` is a path, or with `dockerfile_text` a name to show. `secrets` have their values; `ssh` are
    paths of agents' sockets. `contexts`: a directory, or what --build-context takes. `outputs`, `cache_from`
    and `cache_to` are objects with a `type`.
    """

    dockerfile: str
    dockerfile_text: str | bytes
    tags: str | Sequence[str]
    target: str
    platforms: Sequence[str]
    build_args: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Sequence[str]
    secrets: Mapping[str, str | bytes]
    ssh: Mapping[str, str]
    contexts: Mapping[str, str]
    allow: Sequence[str]
    network: str
    extra_hosts: Mapping[str, str]
    memory: Size
    memory_swap: Size
    cpu_period: int
    cpu_quota: int
    cpu_shares: int
    cpuset_cpus: str
    shm_size: Size
    cgroup_parent: str
    ulimits: Mapping[str, int | tuple[int, int]]
    no_cache: bool
    no_cache_filter: Sequence[str]
    pull: bool
    cache_from: Sequence[Spec]
    cache_to: Sequence[Spec]
    outputs: Sequence[Spec]
    jobs: int
    explain: bool
    source_epoch: int
    tls_verify: bool


def build_request(context: str | None, options: BuildOptions, *, archive: bool, local: bool) -> BuildRequest:
    """`context` is a directory or a URL; None: no files. `archive`: the context is an upload. InvalidArgument
    for an unknown option, and for a directory where the engine is not on this host (`local`)."""
    given: dict[str, Any] = dict(options)
    unknown = given.keys() - BuildOptions.__annotations__.keys()
    if unknown:
        raise InvalidArgument(f"images.build has no option {sorted(unknown)[0]!r}")
    dockerfile = str(given.pop("dockerfile", ""))
    text = given.pop("dockerfile_text", None)
    place, path = _context(context, archive, local)
    if isinstance(place, ContextDirectory) and text is None:
        dockerfile = os.path.join(path, dockerfile or "Dockerfile")
    tags = given.pop("tags", ())
    fields: dict[str, Any] = {
        "context": place,
        "dockerfile": dockerfile,
        "dockerfile_text": text.encode() if isinstance(text, str) else text,
        "tags": [tags] if isinstance(tags, str) else list(tags),
        "secrets": [Secret(name, _bytes(value)) for name, value in given.pop("secrets", {}).items()],
        "ssh": [SshAgent(name, os.path.abspath(path)) for name, path in given.pop("ssh", {}).items()],
        "named_contexts": [_named(name, source) for name, source in given.pop("contexts", {}).items()],
        "hosts": [HostEntry(name, address) for name, address in given.pop("extra_hosts", {}).items()],
        "limits": _limits(given),
        "insecure_registries": not given.pop("tls_verify", True),
    }
    for name in ("cache_from", "cache_to", "outputs"):
        fields[name] = [_attributes(spec) for spec in given.pop(name, ())]
    for name in ("cache_from", "cache_to"):
        fields[name] = [Attributes(spec.type, complete(spec.type, spec.attributes)) for spec in fields[name]]
    return BuildRequest(id=secrets.token_hex(16), **fields, **{**given, **_plain(given)})


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(value)
        for name, value in given.items()
        if isinstance(value, Sequence) and not isinstance(value, str)
    } | {name: dict(value) for name, value in given.items() if isinstance(value, Mapping)}


def _context(context: str | None, archive: bool, local: bool) -> tuple[Context, str]:
    if archive:
        return ContextUpload(), ""
    if context is None:
        return ContextEmpty(), ""
    if context.startswith(_REMOTE):
        return ContextRemote(context), ""
    path = os.path.abspath(context)
    if not os.path.isdir(path):
        raise InvalidArgument(f"the build context {context!r} is not a directory")
    if not local:
        raise InvalidArgument(
            "the engine is not on this host: give the build context as an archive, by archive=…"
        )
    return ContextDirectory(path), path


def _named(name: str, source: str) -> NamedContext:
    if source.startswith("oci-layout://"):
        source = "oci-layout://" + os.path.abspath(source.removeprefix("oci-layout://"))
    elif not source.startswith(_NAMED):
        source = os.path.abspath(source)
    return NamedContext(name.lower(), source)


def _attributes(spec: Spec) -> Attributes:
    attributes = dict(spec)
    kind = attributes.pop("type", "")
    if not kind:
        raise InvalidArgument(f"{ {key: spec[key] for key in spec if key not in SECRETS} } has no type")
    for key in ("src", "dest"):
        if attributes.get(key, "-") != "-":
            attributes[key] = os.path.abspath(attributes[key])
            parent = os.path.dirname(attributes[key])
            if not os.path.isdir(parent):
                raise InvalidArgument(f"there is no directory {parent} for {key}={attributes[key]}")
    return Attributes(kind, attributes)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _limits(given: dict[str, Any]) -> BuildLimits:
    limits: dict[str, Any] = {}
    for name in ("cpu_period", "cpu_quota", "cpu_shares", "cpuset_cpus", "cgroup_parent"):
        if name in given:
            limits[name] = given.pop(name)
    for name in ("memory", "memory_swap", "shm_size"):
        if name in given:
            value = given.pop(name)
            limits[name] = value if isinstance(value, int) else parse_bytes(value, name)
    limits["ulimits"] = [
        BuildUlimit(name, *((value, value) if isinstance(value, int) else value))
        for name, value in given.pop("ulimits", {}).items()
    ]
    return BuildLimits(**limits)


def encode(request: BuildRequest) -> bytes:
    """The line that a build begins with."""
    return msgspec.json.encode(request) + b"\n"
