"""Device rules: the specification's list of allow and deny, reduced to one default and its exceptions.

From that come v1's `devices.allow` and `devices.deny`, and v2's eBPF program.
"""

from __future__ import annotations

from functools import lru_cache

from corten.errors import InvalidArgument
from corten.oci.runtime_spec import DeviceCgroup
from corten.oci.struct import Struct
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.layout import Hierarchy
from corten.runtime.cgroup.writes import Writes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# (type "b" or "c", major or -1, minor or -1)
Key = tuple[str, int, int]


class DevicePolicy(Struct, frozen=True):
    """`allow` is what holds for all devices that are not in `exceptions`, for which the contrary holds."""

    allow: bool
    exceptions: tuple[tuple[Key, str], ...]


def reduce_rules(rules: Iterable[DeviceCgroup]) -> DevicePolicy:
    """Go through `rules` in order, as the kernel's v1 controller would; at first nothing is allowed."""
    return _reduce(tuple(rules))


@lru_cache(64)
def _reduce(rules: tuple[DeviceCgroup, ...]) -> DevicePolicy:
    allow = False
    exceptions: dict[Key, set[str]] = {}
    for rule in rules:
        kind = rule.type or "a"
        access = set(rule.access or "rwm")
        if kind not in ("a", "b", "c", "u") or not access or access - set("rwm"):
            raise InvalidArgument(f"not a device rule: type {kind!r}, access {rule.access!r}")
        if kind == "a":
            if access == set("rwm"):
                allow, exceptions = rule.allow, {}
                continue
            kinds: tuple[str, ...] = ("b", "c")
        else:
            kinds = ("c",) if kind == "u" else (kind,)
        for one in kinds:
            key = (one, _number(rule.major), _number(rule.minor))
            if rule.allow != allow:
                exceptions.setdefault(key, set()).update(access)
            else:
                _take_back(exceptions, key, access)
    return DevicePolicy(
        allow=allow,
        exceptions=tuple((key, "".join(c for c in "rwm" if c in have)) for key, have in exceptions.items()),
    )


def _number(value: int | None) -> int:
    return -1 if value is None or value < 0 else value


def _take_back(exceptions: dict[Key, set[str]], key: Key, access: set[str]) -> None:
    """A rule that agrees with the default takes back every exception that it covers."""
    for other in list(exceptions):
        same = other[0] == key[0] and key[1] in (-1, other[1]) and key[2] in (-1, other[2])
        if same:
            exceptions[other] -= access
            if not exceptions[other]:
                del exceptions[other]


def write_v1(writes: Writes, found: Hierarchy, policy: DevicePolicy) -> None:
    """v1: `a` resets the list to everything or nothing, then the exceptions one by one."""
    first, then = ("devices.allow", "devices.deny") if policy.allow else ("devices.deny", "devices.allow")
    writes.write(found, first, "a", apply.UNCHECKED)
    lines = tuple(
        f"{kind} {_star(major)}:{_star(minor)} {access}" for (kind, major, minor), access in policy.exceptions
    )
    if lines:
        path = writes.path(found, then)
        check = apply.UNCHECKED if policy.allow else apply.DEVICES
        writes.items.append(((path, lines, check, ";".join(lines)),))


def _star(number: int) -> str:
    return "*" if number < 0 else str(number)
