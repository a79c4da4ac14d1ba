"""An image's config, or a chart's, as fields to show: read from the blob, whatever is in it."""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

from corten.errors import CortenError, IntegrityError
from corten.oci.manifest import MAX_CONFIG_BYTES
from corten.registry.blobs.store import is_lost
from corten.registry.page import kinds
from corten.registry.page.document import (
    MOST_ENTRIES,
    Document,
    decode_json_object,
    strings,
    words,
)
from corten.registry.page.visit import Visit

_NOP = re.compile(r"^(?:/bin/sh -c )?#\(nop\)\s*")
_SHELL = re.compile(r"^(?:RUN )?(?:\|\d+ (?:\S+=\S* )*)?/bin/sh -c ")


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the history; `layer` is the layer it made, counted from 0, or -1."""

    command: str
    created: str
    comment: str
    layer: int


@dataclass(frozen=True, slots=True)
class Config:
    """Fields are (name, value) in the order of a reader's interest; `problem` tells why there are none."""

    fields: tuple[tuple[str, str], ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    more_steps: int = 0
    platform: str = ""
    created: str = ""
    problem: str = ""


async def read_config(visit: Visit, document: Document, kind: str) -> Config:
    """The config of a manifest; an empty one for what has none to show."""
    if document.config is None or kind not in (kinds.IMAGE, kinds.HELM):
        return Config()
    descriptor = document.config
    found = (await visit.browser.blobs_in(visit.address.repository, [descriptor.digest])).get(
        descriptor.digest
    )
    if found is None or is_lost(found[0]):
        return Config(problem="The config is not in the registry's storage.")
    if found[1] > MAX_CONFIG_BYTES:
        return Config(problem="The config is too large to be shown.")
    location = found[0]
    try:
        return await asyncio.to_thread(
            lambda: parse_config(b"".join(visit.blobs.read(location)), is_chart=kind == kinds.HELM)
        )
    except IntegrityError as error:
        return Config(problem=f"The config cannot be shown: {error.message}.")
    except CortenError as error:
        return Config(problem=f"The config cannot be read now: {error.message}.")


def parse_config(data: bytes, *, is_chart: bool = False) -> Config:
    """IntegrityError when it is no JSON object."""
    found = decode_json_object(data)
    if is_chart:
        return Config(tuple((key, value) for key, value in strings(found).items() if value))
    run = found.get("config")
    run = run if isinstance(run, dict) else {}
    steps, more = _steps(found.get("history"))
    parts = [found.get(key) for key in ("os", "architecture", "variant")]
    return Config(
        fields=tuple((name, value) for name, value in _fields(run, found) if value),
        environment=dict(_assignment(entry) for entry in words(run.get("Env"))),
        labels=strings(run.get("Labels")),
        steps=steps,
        more_steps=more,
        platform="/".join(part[:40] for part in parts if isinstance(part, str) and part),
        created=_text(found.get("created")),
    )


def _fields(run: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, str]]:
    health = run.get("Healthcheck")
    return [
        ("Entrypoint", _command(run.get("Entrypoint"))),
        ("Command", _command(run.get("Cmd"))),
        ("User", _text(run.get("User"))),
        ("Working directory", _text(run.get("WorkingDir"))),
        ("Ports", ", ".join(strings(run.get("ExposedPorts")))),
        ("Volumes", ", ".join(strings(run.get("Volumes")))),
        ("Stop signal", _text(run.get("StopSignal"))),
        ("Health check", _command(health.get("Test")) if isinstance(health, dict) else ""),
        ("Shell", _command(run.get("Shell"))),
        ("On build", "; ".join(words(run.get("OnBuild")))),
        ("Author", _text(found.get("author"))),
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _assignment(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value


def _command(value: object) -> str:
    """A list of arguments as a shell would take them."""
    return shlex.join(words(value))


def _steps(history: object) -> tuple[tuple[Step, ...], int]:
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    steps: list[Step] = []
    layer = 0
    for entry in entries[:MOST_ENTRIES]:
        is_empty = entry.get("empty_layer") is True
        steps.append(
            Step(
                _instruction(_text(entry.get("created_by"))),
                _text(entry.get("created")),
                _text(entry.get("comment")),
                -1 if is_empty else layer,
            )
        )
        layer += not is_empty
    return tuple(steps), max(0, len(entries) - MOST_ENTRIES)


def _instruction(command: str) -> str:
    """Without what builders put around an instruction.

    >>> _instruction('/bin/sh -c #(nop)  CMD ["sh"]'), _instruction("/bin/sh -c apt-get update")
    ('CMD ["sh"]', 'RUN apt-get update')
    """
    command = command.removesuffix("# buildkit").strip()
    if _NOP.match(command):
        return _NOP.sub("", command)
    return _SHELL.sub("RUN ", command)
