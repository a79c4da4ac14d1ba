"""Commands run in a running container (`docker exec`)."""

from __future__ import annotations

import msgspec

from corten.api.message import Message

_field = msgspec.field


class ExecCreate(Message, kw_only=True):
    """POST /containers/{id}/exec."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    console_size: list[int] = []
    detach_keys: str = ""
    tty: bool = False
    env: list[str] = []
    cmd: list[str] = []
    privileged: bool = False
    user: str = ""
    working_dir: str = ""


class ExecCreated(Message, kw_only=True):
    id: str


class ExecStart(Message, kw_only=True):
    """POST /exec/{id}/start."""

    detach: bool = False
    tty: bool = False
    console_size: list[int] = []


class ExecProcessConfig(msgspec.Struct, kw_only=True):
    tty: bool = False
    entrypoint: str = ""
    arguments: list[str] = []
    privileged: bool = False
    user: str = ""


class ExecInspect(Message, kw_only=True):
    """GET /exec/{id}/json; `exit_code` is None while it runs."""

    id: str = _field(name="ID")
    running: bool
    exit_code: int | None = None
    process_config: ExecProcessConfig = _field(default_factory=ExecProcessConfig)
    open_stdin: bool = False
    open_stderr: bool = False
    open_stdout: bool = False
    can_remove: bool = False
    container_id: str = _field(name="ContainerID", default="")
    detach_keys: str = ""
    pid: int = 0
