"""A container for the launcher to rehearse with (see `rehearsal`): the host's own `true`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from corten.oci.runtime_spec import Mount
from corten.runtime.command.spec import default_spec
from corten.runtime.operations import Plan
from corten.runtime.plan import Directory, compile_plan

_LENT = ("bin", "lib", "lib64", "usr")  # what `true` needs; read-only


def rehearsal_plan(root: Path) -> Plan:
    """Make the root file system `root` (a few directories and links) and the plan of a container in it."""
    spec = default_spec()
    process = spec.process
    assert process is not None
    binds = []
    for name in _LENT:
        source = Path("/", name)
        if source.is_symlink():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if not (root / name).is_symlink():
                (root / name).symlink_to(os.readlink(source))
        elif source.is_dir():
            (root / name).mkdir(parents=True, exist_ok=True)
            binds.append(
                Mount(destination=f"/{name}", type="bind", source=str(source), options=("bind", "ro"))
            )
    for name in ("proc", "dev", "sys"):
        (root / name).mkdir(parents=True, exist_ok=True)
    mounts = tuple(mount for mount in spec.mounts or () if mount.type != "cgroup")
    linux = spec.linux
    if linux is not None:  # a network takes the kernel long, and us nothing worth rehearsing
        namespaces = tuple(space for space in linux.namespaces or () if space.type != "network")
        spec = msgspec.structs.replace(spec, linux=msgspec.structs.replace(linux, namespaces=namespaces))
    process = msgspec.structs.replace(process, args=("/bin/true",), terminal=False)
    spec = msgspec.structs.replace(spec, process=process, mounts=(*mounts, *binds))
    return compile_plan(
        spec, root=Directory(path=str(root), readonly=True), container_id="rehearsal", bundle=str(root.parent)
    )
