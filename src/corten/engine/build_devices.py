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
            if edit.get("hooks"):
                raise Unsupported(f"device {name} needs hooks, which builds do not run")
            for node in edit.get("deviceNodes") or ():
                inside = str(node.get("path", ""))
                nodes.append(
                    (str(node.get("hostPath") or inside), inside, str(node.get("permissions") or "rwm"))
                )
            for mount in edit.get("mounts") or ():
                options = tuple(mount.get("options") or ("ro", "nosuid", "nodev", "rbind"))
                source, destination = str(mount.get("hostPath", "")), str(mount.get("containerPath", ""))
                mounts.append(Mount(destination=destination, type="bind", source=source, options=options))
            environment += [str(item) for item in edit.get("env") or ()]
    return DeviceEdits(tuple(dict.fromkeys(nodes)), tuple(mounts), tuple(environment)), missing


def _edits_of(name: str, directories: Sequence[Path]) -> list[dict[str, Any]] | None:
    """`vendor.com/class=name`, where the name is a device's or the class of several; `vendor.com/class` for
    its first device, `vendor.com/class=*` for all."""
    kind, _, wanted = name.partition("=")
    devices: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for path in _specifications(directories):
        spec = _read(path)
        if spec.get("kind") == kind:
            for item in spec.get("devices") or ():
                devices.setdefault(str(item.get("name")), (spec, item))
    if not wanted:
        chosen = list(devices.values())[:1]
    elif wanted == "*":
        chosen = list(devices.values())
    elif wanted in devices:
        chosen = [devices[wanted]]
    else:
        chosen = [pair for pair in devices.values() if _class_of(*pair) == wanted]
    edits: list[dict[str, Any]] = []
    for pair in chosen:
        # What a specification says of all its devices is done once.
        edits += [found for part in pair if (found := part.get("containerEdits")) and found not in edits]
    return edits if chosen else None


def _class_of(spec: dict[str, Any], device: dict[str, Any]) -> str:
    annotations = {**(spec.get("annotations") or {}), **(device.get("annotations") or {})}
    return str(annotations.get(CLASS, ""))


def _specifications(directories: Sequence[Path]) -> Iterable[Path]:
    for directory in reversed(directories):
        if directory.is_dir():
            yield from sorted(
                path for path in directory.iterdir() if path.suffix in (".json", ".yaml", ".yml")
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        if path.suffix == ".json":
            found = json.loads(text)
        else:
            found = importlib.import_module("yaml").safe_load(text)
    except ImportError:
        raise Unsupported(f"{path} is YAML, which takes the package PyYAML to read") from None
    except Exception as error:  # yaml has errors of its own
        raise InvalidArgument(f"cannot read the device specification {path}: {error}") from error
    return found if isinstance(found, dict) else {}
