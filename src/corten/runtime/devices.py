"""Device nodes of a container: the defaults, `--device`, and what a privileged container sees."""

from __future__ import annotations

from corten.oci.runtime_spec import Device, DeviceCgroup

# Nodes that the specification's "Default Devices" asks for (ptmx is devpts' own, console a bind mount).
DEFAULT_DEVICES: tuple[Device, ...] = tuple(
    Device(type="c", path=f"/dev/{name}", major=major, minor=minor, file_mode=0o666, uid=0, gid=0)
    for name, major, minor in (
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    )
)
DENY_ALL = DeviceCgroup(allow=False, access="rwm")
ALLOW_ALL = DeviceCgroup(allow=True, access="rwm")
# mknod of anything (opening stays forbidden), the default nodes, console, ptmx, pts, tun.
DEFAULT_RULES: tuple[DeviceCgroup, ...] = (
    DeviceCgroup(allow=True, type="c", access="m"),
    DeviceCgroup(allow=True, type="b", access="m"),
    *(
        DeviceCgroup(allow=True, type="c", major=major, minor=minor, access="rwm")
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))
    ),
)


def parse_device(text: str) -> tuple[tuple[Device, ...], tuple[DeviceCgroup, ...]]:
    """`--device HOST[:CONTAINER][:PERMISSIONS]` → nodes to make and rules to add; a directory gives all in it."""
    raise NotImplementedError


def host_devices() -> tuple[Device, ...]:
    """Every device node of the host's /dev, for `--privileged`."""
    raise NotImplementedError


def parse_rule(text: str) -> DeviceCgroup:
    """`--device-cgroup-rule 'c 1:3 rwm'`."""
    raise NotImplementedError
