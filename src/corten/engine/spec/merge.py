"""What a container takes over from its image's config, by Docker's rules."""

from __future__ import annotations

from typing import Any

import msgspec

from corten.api.container import ContainerConfig, Healthcheck
from corten.errors import InvalidArgument
from corten.oci.image_config import ImageRunConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def merge(config: ContainerConfig, image: ImageRunConfig) -> ContainerConfig:
    """`config` completed by the image's; InvalidArgument where neither of them says what to run."""
    entrypoint, cmd = config.entrypoint, config.cmd
    if entrypoint is None:
        # An entrypoint of one's own makes the image's Cmd void; [""] (`--entrypoint ""`) is "none at all".
        entrypoint = image.entrypoint
        if not cmd:
            cmd = image.cmd
    elif entrypoint == [""]:
        entrypoint = None
    if not entrypoint and not cmd:
        raise InvalidArgument("no command specified: the image has none, so give one")
    return msgspec.structs.replace(
        config,
        user=config.user or image.user,
        exposed_ports=_union(image.exposed_ports, config.exposed_ports),
        env=merge_env(image.env or [], config.env or []),
        entrypoint=entrypoint or None,
        cmd=cmd or None,
        volumes=_union(image.volumes, config.volumes),
        working_dir=config.working_dir or image.working_dir,
        labels={**(image.labels or {}), **(config.labels or {})},
        stop_signal=config.stop_signal or image.stop_signal or "",
        stop_timeout=config.stop_timeout if config.stop_timeout is not None else image.stop_timeout,
        shell=config.shell or image.shell,
        healthcheck=_healthcheck(config.healthcheck, image),
        on_build=None,
    )


def command(config: ContainerConfig) -> tuple[str, list[str]]:
    """The path and the arguments of a merged config."""
    words = [*(config.entrypoint or []), *(config.cmd or [])]
    return words[0], words[1:]


def merge_env(base: list[str], override: list[str]) -> list[str]:
    """`base` with the variables of `override` replaced in place or appended; "NAME" alone removes it."""
    order = {entry.partition("=")[0]: index for index, entry in enumerate(base)}
    result: list[str | None] = list(base)
    for entry in override:
        name, separator, _ = entry.partition("=")
        index = order.get(name)
        if not separator:
            if index is not None:
                result[index] = None
        elif index is not None:
            result[index] = entry
        else:
            order[name] = len(result)
            result.append(entry)
    return [entry for entry in result if entry is not None]


def environment(config: ContainerConfig, hostname: str) -> list[str]:
    """The environment of the process: Docker's own variables first, then the config's, which win."""
    base = [DEFAULT_PATH, f"HOSTNAME={hostname}"]
    if config.tty:
        base.append("TERM=xterm")
    return merge_env(base, config.env or [])


def _union(first: dict[str, Any] | None, second: dict[str, Any] | None) -> dict[str, Any] | None:
    if not first and not second:
        return second
    return {**(first or {}), **(second or {})}


def _healthcheck(own: Healthcheck | None, image: ImageRunConfig) -> Healthcheck | None:
    inherited = image.healthcheck
    if inherited is None:
        return own
    if own is None:
        own = Healthcheck()
    if own.test:
        return own
    return Healthcheck(
        test=list(inherited.test or []),
        interval=own.interval or inherited.interval,
        timeout=own.timeout or inherited.timeout,
        start_period=own.start_period or inherited.start_period,
        start_interval=own.start_interval or inherited.start_interval,
        retries=own.retries or inherited.retries,
    )
