"""`features`: what this runtime can do, as the specification's features document."""

from __future__ import annotations

import json
import os
import sys

from corten.linux.capability import NAMES, last_capability
from corten.linux.namespace import NAMESPACES
from corten.oci.runtime_spec import VERSION
from corten.runtime.command.main import version
from corten.runtime.command.options import Options
from corten.runtime.mount_options import OPTION_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context

_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def run(context: Context, arguments: list[str]) -> int:
    Options("features").parse(arguments)
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers") or os.path.exists("/sys/fs/cgroup/unified")
    document = {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": _HOOKS,
        "mountOptions": sorted(OPTION_NAMES),
        "linux": {
            "namespaces": sorted(NAMESPACES),
            "capabilities": NAMES[: last_capability() + 1],
            "cgroup": {
                "v1": os.path.exists("/proc/cgroups"),
                "v2": unified,
                "systemd": False,
                "systemdUser": False,
                "rdma": True,
            },
            "seccomp": {"enabled": os.path.exists("/proc/sys/kernel/seccomp")},
            "apparmor": {"enabled": os.path.exists("/sys/kernel/security/apparmor")},
            "selinux": {"enabled": os.path.exists("/sys/fs/selinux/enforce")},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {"corten.runtime.version": version()},
        "potentiallyUnsafeConfigAnnotations": [],
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0
