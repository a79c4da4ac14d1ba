"""The config of an image in the making: it grows instruction by instruction."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from corten.build.graph import Vertex
from corten.build.parser.white_space import replace_invalid
from corten.build.plan.environment import ConfigEnvironment
from corten.build.plan.platforms import DEFAULT_PATH
from corten.oci.image_config import (
    History,
    ImageConfig,
    ImageRunConfig,
    RootFS,
    format_time,
)
from corten.oci.platform import Platform

COMMENT = "buildkit.dockerfile.v0"
"""What the history says of who made it: tools know the builder by it."""


class HistoryLog:
    """The steps of a build, one behind the other. Stages that are based on another share its log: it is
    walked only for the target."""

    def __init__(self, parent: HistoryLog | None = None, entries: Iterable[History] = ()) -> None:
        self._parent = parent
        self._entries: list[tuple[History, Vertex | None]] = [(entry, None) for entry in entries]

    def add(self, entry: History, vertex: Vertex | None) -> None:
        self._entries.append((entry, vertex))

    def steps(self) -> list[tuple[History, Vertex | None]]:
        """All of them, the first first; with the vertex that makes the entry's layer."""
        chain: list[HistoryLog] = []
        log: HistoryLog | None = self
        while log is not None:
            chain.append(log)
            log = log._parent
        return [step for log in reversed(chain) for step in log._entries]


class ImageDraft:
    """An ImageConfig that can be changed. `platform` is what the base says of itself."""

    def __init__(self, config: ImageConfig) -> None:
        run = config.run
        self.platform = Platform(
            config.architecture, config.os, config.variant, config.os_version, config.os_features
        )
        self.author = config.author
        self.diff_ids = config.diff_ids
        self.history = HistoryLog(entries=config.history or ())
        self.user = run.user
        self.environment = ConfigEnvironment(run.env or ())
        self.entrypoint = run.entrypoint
        self.cmd = run.cmd
        self.exposed_ports = dict.fromkeys(run.exposed_ports or ())
        self.volumes = dict.fromkeys(run.volumes or ())
        self.working_directory = run.working_dir
        self.labels = dict(run.labels or {})
        self.stop_signal = run.stop_signal
        self.stop_timeout = run.stop_timeout
        self.healthcheck = run.healthcheck
        self.shell = run.shell
        self.triggers = list(run.on_build or ())
        self.args_escaped = run.args_escaped

    def child(self) -> ImageDraft:
        """For a stage that is based on this one. Triggers are not inherited: they run."""
        child = ImageDraft.__new__(ImageDraft)
        child.__dict__.update(self.__dict__)
        child.history = HistoryLog(self.history)
        child.environment = self.environment.copy()
        child.exposed_ports = dict(self.exposed_ports)
        child.volumes = dict(self.volumes)
        child.labels = dict(self.labels)
        child.triggers = []
        return child

    @property
    def default_shell(self) -> list[str]:
        """What runs a command in shell form."""
        return self.shell or ["/bin/sh", "-c"]

    def finish(self, created: str | None) -> tuple[ImageConfig, tuple[Vertex | None, ...]]:
        """The config, and for each entry of its history the vertex of its layer."""
        steps = self.history.steps()
        config = ImageConfig(
            architecture=self.platform.architecture,
            os=self.platform.os,
            variant=self.platform.variant or None,
            os_version=self.platform.os_version or None,
            os_features=self.platform.os_features,
            config=self._run_config(),
            rootfs=RootFS(diff_ids=self.diff_ids),
            history=tuple([entry for entry, _ in steps]),
            created=created,
            author=self.author,
        )
        return _as_utf8(config), tuple([vertex for _, vertex in steps])

    def _run_config(self) -> ImageRunConfig:
        return ImageRunConfig(
            user=self.user,
            exposed_ports={port: {} for port in sorted(self.exposed_ports)} or None,
            env=self.environment.entries() or None,
            entrypoint=self.entrypoint or None,
            cmd=self.cmd or None,
            volumes={path: {} for path in sorted(self.volumes)} or None,
            working_dir=self.working_directory,
            labels=dict(sorted(self.labels.items())) or None,
            stop_signal=self.stop_signal or None,
            healthcheck=self.healthcheck,
            shell=self.shell or None,
            on_build=self.triggers or None,
            args_escaped=self.args_escaped,
            stop_timeout=self.stop_timeout,
        )


def _as_utf8(config: ImageConfig) -> ImageConfig:
    """What is not UTF-8 in a Dockerfile cannot be in JSON either: it becomes U+FFFD."""
    try:
        msgspec.json.encode(config)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(config), ensure_ascii=False)
        return msgspec.json.decode(replace_invalid(text), type=ImageConfig)
    return config


def empty_image(platform: Platform) -> ImageConfig:
    """What FROM scratch begins with."""
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        config=ImageRunConfig(env=[f"PATH={DEFAULT_PATH}"], working_dir="/"),
        rootfs=RootFS(),
    )


@lru_cache(maxsize=64)
def time_text(epoch: int) -> str:
    """Seconds since 1970 as RFC 3339."""
    return format_time(epoch * 1_000_000_000)


def history_entry(text: str, *, has_layer: bool, epoch: int | None) -> History:
    """A step of this build; `epoch` in seconds."""
    created = None if epoch is None else time_text(epoch)
    return History(created=created, created_by=text, comment=COMMENT, empty_layer=not has_layer)
