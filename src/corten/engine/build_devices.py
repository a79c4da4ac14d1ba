"""Devices by CDI name (`RUN --device=vendor.com/class=name`): what the host's CDI specifications say of them.

https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md. Of the edits, device nodes,
mounts and variables are made; hooks are programs of the host, and are refused.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from corten.errors import InvalidArgument, NotFound, Unsupported
from corten.oci.runtime_spec import Mount

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"), Path("/etc/buildkit/cdi"))
"""The later ones come first."""
CLASS = "org.mobyproject.buildkit.device.class"
"""BuildKit's annotation by which several devices have one more name."""


@dataclass(frozen=True, slots=True)
class DeviceEdits:
    """`nodes` are (path on the host, path inside, rights); `environment` are `NAME=value`."""

    nodes: tuple[tuple[str, str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    environment: tuple[str, ...] = ()


class _Node(msgspec.Struct, frozen=True, rename="camel"):
    path: str
    host_path: str | None = None
    permissions: str | None = None


class _Mount(msgspec.Struct, frozen=True, rename="camel"):
    host_path: str
    container_path: str
    options: tuple[str, ...] | None = None


class _Edits(msgspec.Struct, frozen=True, rename="camel"):
    env: tuple[str, ...] | None = None
    device_nodes: tuple[_Node, ...] | None = None
    mounts: tuple[_Mount, ...] | None = None
    hooks: list[Any] | None = None


class _Device(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    container_edits: _Edits | None = None
    annotations: dict[str, str] | None = None


class _Specification(msgspec.Struct, frozen=True, rename="camel"):
    kind: str = ""
    devices: tuple[_Device, ...] | None = None
    container_edits: _Edits | None = None
    annotations: dict[str, str] | None = None


def find_devices(
    wanted: Iterable[tuple[str, bool]], directories: Sequence[Path]
) -> tuple[DeviceEdits, list[str]]:
    """What the devices `wanted` (name, required) need, and the names of those that are not there and need
    not be. NotFound, Unsupported, InvalidArgument."""
    nodes: list[tuple[str, str, str]] = []
    mounts: list[Mount] = []
    environment: list[str] = []
    missing: list[str] = []
    for name, required in wanted:
        edits = _edits_of(name, directories)
        if edits is None:
            if required:
                raise NotFound(
                    f"there is no device {name} here: no specification in "
                    f"{' or '.join(map(str, directories))} names it"
                )
            missing.append(name)
            continue
        for edit in edits:
            if edit.hooks:
                raise Unsupported(f"device {name} needs hooks, which builds do not run")
            for node in edit.device_nodes or ():
                nodes.append((node.host_path or node.path, node.path, node.permissions or "rwm"))
            for mount in edit.mounts or ():
                mounts.append(
                    Mount(
                        destination=mount.container_path,
                        type="bind",
                        source=mount.host_path,
                        options=mount.options or ("ro", "nosuid", "nodev", "rbind"),
                    )
                )
            environment += edit.env or ()
    return DeviceEdits(tuple(dict.fromkeys(nodes)), tuple(mounts), tuple(environment)), missing


def _edits_of(name: str, directories: Sequence[Path]) -> list[_Edits] | None:
    """`vendor.com/class=name`, where the name is a device's or the class of several; `vendor.com/class` for
    its first device, `vendor.com/class=*` for all."""
    kind, _, wanted = name.partition("=")
    devices: dict[str, tuple[_Specification, _Device]] = {}
    for path in _specifications(directories):
        spec = _read(path)
        if spec.kind == kind:
            for item in spec.devices or ():
                devices.setdefault(item.name, (spec, item))
    if not wanted:
        chosen = list(devices.values())[:1]
    elif wanted == "*":
        chosen = list(devices.values())
    elif wanted in devices:
        chosen = [devices[wanted]]
    else:
        chosen = [pair for pair in devices.values() if _class_of(*pair) == wanted]
    edits: list[_Edits] = []
    for pair in chosen:
        # What a specification says of all its devices is done once.
        edits += [found for part in pair if (found := part.container_edits) and found not in edits]
    return edits if chosen else None


def _class_of(spec: _Specification, device: _Device) -> str:
    return {**(spec.annotations or {}), **(device.annotations or {})}.get(CLASS, "")


def _specifications(directories: Sequence[Path]) -> Iterable[Path]:
    for directory in reversed(directories):
        if directory.is_dir():
            yield from sorted(
                path for path in directory.iterdir() if path.suffix in (".json", ".yaml", ".yml")
            )


def _read(path: Path) -> _Specification:
    try:
        text = path.read_text()
        if path.suffix == ".json":
            found = json.loads(text)
        else:
            found = importlib.import_module("yaml").safe_load(text)
        return msgspec.convert(found, _Specification)
    except ImportError:
        raise Unsupported(f"{path} is YAML, which takes the package PyYAML to read") from None
    except Exception as error:  # yaml has errors of its own
        raise InvalidArgument(f"cannot read the device specification {path}: {error}") from error
