"""`POST /build`: from the query of Docker's classic builder to a build request."""

from __future__ import annotations

import secrets
from typing import Any, TypeVar

import msgspec

from corten.api.build import (
    Attributes,
    BuildLimits,
    BuildRequest,
    BuildUlimit,
    Context,
    ContextRemote,
    ContextUpload,
    HostEntry,
)
from corten.daemon.call import Call
from corten.errors import InvalidArgument, Unsupported

T = TypeVar("T")

BUILDKIT = (
    "this engine does not speak BuildKit's own protocol: build with DOCKER_BUILDKIT=0 docker build, or with"
    " corten build, which has all of BuildKit's Dockerfile language"
)


class _Ulimit(msgspec.Struct, rename="pascal"):
    name: str
    soft: int
    hard: int


def build_request(call: Call) -> BuildRequest:
    """Unsupported for BuildKit's protocol (version=2, a session); InvalidArgument."""
    remote = call.text("remote")
    if call.text("version") not in ("", "1") or call.text("session") or remote == "client-session":
        raise Unsupported(BUILDKIT)
    if call.flag("squash"):
        raise Unsupported("squash is not offered: build in stages, and COPY --from what is needed")
    context: Context = ContextRemote(remote) if remote else ContextUpload(is_directory=True)
    arguments = _json(call, "buildargs", dict[str, str | None], {})
    return BuildRequest(
        id=call.text("buildid") or secrets.token_hex(16),
        context=context,
        dockerfile=call.text("dockerfile").lstrip("/"),  # of the context, as for Docker
        tags=[tag for tag in call.many("t") if tag],
        target=call.text("target"),
        platforms=[platform] if (platform := call.platform()) else [],
        build_args={name: value for name, value in arguments.items() if value is not None},
        labels={key: value or "" for key, value in _json(call, "labels", dict[str, str | None], {}).items()},
        network=_network(call.text("networkmode")),
        hosts=_hosts(call),
        limits=_limits(call),
        no_cache=call.flag("nocache"),
        pull=call.flag("pull"),
        cache_from=[
            Attributes("image", {"ref": name})
            for name in _json(call, "cachefrom", list[str] | None, None) or ()
            if name
        ],
        # The images of the classic builder can all be given as --cache-from.
        cache_to=[Attributes("inline", {"ignore-error": "true"})],
        outputs=_outputs(call),
        security=_json(call, "securityopt", list[str] | None, None) or [],
        isolation=call.text("isolation"),
        registry_auth=call.header("X-Registry-Config").strip(),
        jobs=1 if call.flag("serial") else 0,
    )


def _json(call: Call, name: str, type: Any, default: T) -> Any:
    text = call.text(name)
    value = _decoded(name, text, type | None) if text else None
    return default if value is None else value


def _decoded(name: str, text: str, type: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f'invalid value for "{name}": {error}') from error


def _network(mode: str) -> str:
    """The builder's containers have a network of their own, or none, or the host's."""
    if mode in ("", "default", "bridge"):
        return ""
    if mode in ("none", "host"):
        return mode
    raise Unsupported(f"network mode {mode!r} is not offered for builds: use default, none or host")


def _hosts(call: Call) -> list[HostEntry]:
    """`extrahosts` is a JSON list, or repeated as `name:address`, by the client's version."""
    found = []
    for text in call.many("extrahosts"):
        for item in _decoded("extrahosts", text, list[str]) if text.startswith("[") else [text]:
            separator = "=" if "=" in item else ":"
            name, _, address = item.partition(separator)
            if not name or not address:
                raise InvalidArgument(f'bad format for add-host: "{item}"')
            found.append(HostEntry(name, address.strip("[]")))
    return found


def _limits(call: Call) -> BuildLimits:
    ulimits = _json(call, "ulimits", list[_Ulimit] | None, None) or []
    return BuildLimits(
        memory=call.number("memory") or 0,
        memory_swap=call.number("memswap") or 0,
        cpu_period=call.number("cpuperiod") or 0,
        cpu_quota=call.number("cpuquota") or 0,
        cpu_shares=call.number("cpushares") or 0,
        cpuset_cpus=call.text("cpusetcpus"),
        cpuset_mems=call.text("cpusetmems"),
        shm_size=call.number("shmsize") or 0,
        cgroup_parent=call.text("cgroupparent"),
        ulimits=[BuildUlimit(item.name, item.soft, item.hard) for item in ulimits],
    )


class _Output(msgspec.Struct, rename="pascal"):
    type: str = ""
    attrs: dict[str, str] | None = None


def _outputs(call: Call) -> list[Attributes]:
    outputs = _json(call, "outputs", list[_Output] | None, None) or []
    for output in outputs:
        if output.type not in ("", "image"):
            raise Unsupported(
                f"output type {output.type!r} needs BuildKit's protocol here: use corten build --output"
            )
    return []
