"""SELinux labels of a container: its process's and its files'. A label is `user:role:type:level`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from corten.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ENFORCE = Path("/sys/fs/selinux/enforce")
_CONTEXTS = Path("/etc/selinux/targeted/contexts/lxc_contexts")
_PARTS = ("user", "role", "type", "level")


class Labels(msgspec.Struct, frozen=True):
    """`process` for the container's processes, `mount` for its files; both None without SELinux."""

    process: str | None = None
    mount: str | None = None


def enabled(*, enforce: Path = _ENFORCE) -> bool:
    """Is SELinux there (enforcing or permissive)?"""
    return enforce.exists()


def resolve(options: Iterable[str], *, enforce: Path = _ENFORCE, contexts: Path = _CONTEXTS) -> Labels:
    """The labels for `--security-opt label=...` (`user:U`, `role:R`, `type:T`, `level:L`, `disable`).

    Without options they are the host's defaults for containers; nothing where the host has no SELinux. Raises
    Unsupported when a label is asked for and the host has none, InvalidArgument for an unknown option.
    """
    chosen: dict[str, str] = {}
    for option in options:
        if option == "disable":
            return Labels()
        part, colon, value = option.partition(":")
        if part == "filetype" and value:
            chosen[part] = value
        elif not colon or part not in _PARTS or not value:
            raise InvalidArgument(
                f"invalid --security-opt label={option}: use user:, role:, type:, level: or disable"
            )
        else:
            chosen[part] = value
    if not enabled(enforce=enforce):
        if chosen:
            raise Unsupported("cannot set an SELinux label: this host has no SELinux")
        return Labels()
    process, mount = _defaults(contexts)
    for part, value in chosen.items():
        if part == "filetype":
            mount["type"] = value
        else:
            process[part] = value
            if part == "level":
                mount[part] = value
    return Labels(process=_text(process), mount=_text(mount))


def _defaults(contexts: Path) -> tuple[dict[str, str], dict[str, str]]:
    found = {"process": "system_u:system_r:container_t:s0", "file": "system_u:object_r:container_file_t:s0"}
    try:
        for line in contexts.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and key.strip() in found:
                found[key.strip()] = value.strip().strip('"')
    except OSError:
        pass
    return _parts(found["process"]), _parts(found["file"])


def _parts(label: str) -> dict[str, str]:
    # A level may itself hold colons: s0:c1,c2.
    return dict(zip(_PARTS, label.split(":", 3), strict=False))


def _text(label: dict[str, str]) -> str:
    return ":".join(label[part] for part in _PARTS if part in label)
