"""--security-opt, --privileged and the capabilities: what the process may do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from corten.api.host_config import HostConfig
from corten.errors import InvalidArgument
from corten.oci.runtime_spec import Capabilities, Seccomp
from corten.runtime.capabilities import NUMBERS, last_capability, resolve
from corten.runtime.seccomp_profile import default_profile, load_profile

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """`seccomp`: "" is the default profile, "unconfined", or the JSON of a profile."""

    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    selinux: tuple[str, ...] = ()
    system_paths_unconfined: bool = False


def parse_security(host: HostConfig) -> SecurityOptions:
    """The options of --security-opt; InvalidArgument for an unknown one."""
    if not host.security_opt:
        return _DEFAULT
    values: dict[str, str] = {}
    labels: list[str] = []
    for option in host.security_opt:
        if option in ("no-new-privileges", "disable"):
            key, value = option, "true"
        else:
            separator = "=" if "=" in option else ":"
            key, found, value = option.partition(separator)
            if not found:
                raise InvalidArgument(f'invalid --security-opt 1: "{option}"')
        if key == "label":
            labels.append(value)
        elif key in ("no-new-privileges", "seccomp", "apparmor", "systempaths", "writable-cgroups"):
            values[key] = value
        else:
            raise InvalidArgument(f'invalid --security-opt 2: "{option}"')
    new_privileges = values.get("no-new-privileges", "false")
    if new_privileges not in ("true", "false"):
        raise InvalidArgument(f'invalid --security-opt 2: "no-new-privileges={new_privileges}"')
    seccomp = values.get("seccomp", "")
    if (
        seccomp
        and seccomp not in ("unconfined", "builtin", "default")
        and not seccomp.lstrip().startswith("{")
    ):
        raise InvalidArgument(
            f"opening seccomp profile ({seccomp}) failed: pass the profile's JSON, unconfined or builtin"
        )
    return SecurityOptions(
        no_new_privileges=new_privileges == "true",
        seccomp="" if seccomp in ("builtin", "default") else seccomp,
        apparmor=values.get("apparmor", ""),
        selinux=tuple(labels),
        system_paths_unconfined=values.get("systempaths") == "unconfined",
    )


_DEFAULT = SecurityOptions()


@lru_cache(maxsize=64)
def capability_sets(add: tuple[str, ...], drop: tuple[str, ...], privileged: bool) -> Capabilities:
    """Docker's: bounding, effective and permitted are the same, nothing is inheritable or ambient."""
    names = resolve(add, drop, privileged, last=_last_capability())
    if privileged or any(name.upper() in ("ALL", "CAP_ALL") for name in add):
        # All that this engine has: in a machine in a machine that is less than all there are.
        own = _own_capabilities()
        names = tuple(name for name in names if own >> NUMBERS[name] & 1)
    return Capabilities(bounding=names, effective=names, permitted=names)


@lru_cache(maxsize=64)
def seccomp_filter(profile: str, capabilities: tuple[str, ...]) -> Seccomp:
    """The filter of a container; `profile` is "" for the default, or JSON."""
    if profile:
        return load_profile(profile.encode(), capabilities)
    return default_profile(capabilities)


@lru_cache(maxsize=1)
def _own_capabilities() -> int:
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        return int(next(line for line in file if line.startswith("CapBnd:")).split()[1], 16)


@lru_cache(maxsize=1)
def _last_capability() -> int:
    return last_capability()


@lru_cache(maxsize=1)
def apparmor_available() -> bool:
    """Whether the kernel has AppArmor and our profile is loaded."""
    try:
        with open("/sys/kernel/security/apparmor/profiles", encoding="utf-8") as file:  # noqa: PTH123
            return any(line.startswith("corten-default ") for line in file)
    except OSError:
        return False


@lru_cache(maxsize=1)
def no_seccomp() -> bool:
    """Whether this kernel has no seccomp filters."""
    return not os.path.exists("/proc/sys/kernel/seccomp/actions_avail")
