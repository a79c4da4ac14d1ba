"""`commit`: an image of what a container has become."""

from __future__ import annotations

import asyncio

import msgspec

from corten.api.container import ContainerConfig
from corten.engine.core import Core
from corten.engine.launching import Launching
from corten.engine.lifecycle import Lifecycle
from corten.engine.record import Container
from corten.engine.results import CommitOptions
from corten.engine.state import Status
from corten.errors import Conflict
from corten.image.model import Commit
from corten.oci.image_config import HealthConfig, ImageConfig, ImageRunConfig


async def commit(
    core: Core,
    lifecycle: Lifecycle,
    launching: Launching,
    container: Container,
    options: CommitOptions,
    config: ContainerConfig | None,
) -> str:
    """The new image's id. A running container stands still meanwhile when `options.pause` is set."""
    parent = core.images.of_container(container.definition.image_id)
    name = options.repository + (f":{options.tag}" if options.repository and options.tag else "")
    request = Commit(
        parent=parent.id,
        upper=str(core.paths.container(container.id) / "upper"),
        lowers=launching.lowers(container),
        author=options.author,
        comment=options.comment,
        changes=options.changes,
        config=image_config(parent.config, container.config, config),
        created_by=" ".join([container.definition.path, *container.definition.args]),
        names=(name,) if name else (),
    )
    paused = options.pause and container.state.status is Status.RUNNING
    if paused:
        try:
            await lifecycle.pause(container)
        except Conflict:
            paused = False  # it has just ended: it stands still
    try:
        image = await asyncio.to_thread(core.images.commit, request)
    finally:
        if paused and container.state.status is Status.PAUSED:
            await lifecycle.unpause(container)
    core.publish(container, "commit", imageID=image.id, imageRef=name)
    return image.id


def image_config(parent: ImageConfig, own: ContainerConfig, override: ContainerConfig | None) -> ImageConfig:
    """The parent's config with what the container runs with, and over it what the caller says."""
    chosen = own
    if override is not None:
        given = {
            name: value
            for name in ContainerConfig.__struct_fields__
            if (value := getattr(override, name)) not in (None, "", False, [], {})
        }
        chosen = msgspec.structs.replace(own, **given)
    check = chosen.healthcheck
    run = ImageRunConfig(
        user=chosen.user,
        exposed_ports=chosen.exposed_ports,
        env=chosen.env,
        entrypoint=chosen.entrypoint,
        cmd=chosen.cmd,
        volumes=chosen.volumes,
        working_dir=chosen.working_dir,
        labels=chosen.labels,
        stop_signal=chosen.stop_signal or None,
        stop_timeout=chosen.stop_timeout,
        shell=chosen.shell,
        healthcheck=HealthConfig(
            test=check.test,
            interval=check.interval,
            timeout=check.timeout,
            start_period=check.start_period,
            start_interval=check.start_interval,
            retries=check.retries,
        )
        if check is not None and check.test
        else None,
    )
    return msgspec.structs.replace(parent, config=run)
