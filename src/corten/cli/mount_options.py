"""`-v`, `--mount` and `--tmpfs`, as the API's Binds, Volumes, Mounts and Tmpfs."""

from __future__ import annotations

import os

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.client.jsontext import Json

_SWITCHES = ("readonly", "ro", "bind-nonrecursive", "volume-nocopy", "idmap")


def apply(arguments: Arguments, body: dict[str, Json], host: dict[str, Json]) -> None:
    """Fills what the three options ask for."""
    binds: list[str] = []
    anonymous: dict[str, Json] = {}
    for text in arguments.many("volume"):
        if bind := parse_volume(text):
            binds.append(bind)
        else:
            anonymous[text] = {}
    if binds:
        host["Binds"] = binds
    if anonymous:
        body["Volumes"] = anonymous
    if items := arguments.many("mount"):
        host["Mounts"] = [parse_mount(item) for item in items]
    if items := arguments.many("tmpfs"):
        host["Tmpfs"] = {path: options for path, _, options in (item.partition(":") for item in items)}


def parse_volume(text: str) -> str:
    """`SOURCE:TARGET[:OPTIONS]` with a relative source made absolute; empty for an anonymous volume."""
    parts = text.split(":")
    if len(parts) == 1:
        if not text.startswith("/"):
            raise InvalidArgument(f"invalid volume {text!r}: the path in the container must be absolute")
        return ""
    if len(parts) > 3 or not parts[0] or not parts[1]:
        raise InvalidArgument(f"invalid volume {text!r}: write it as NAME|/PATH:TARGET[:ro,…]")
    source = parts[0]
    if source.startswith("~"):
        source = os.path.expanduser(source)
    if source.startswith(".") or (not source.startswith("/") and "/" in source):
        source = os.path.abspath(source)
    if not parts[1].startswith("/"):
        raise InvalidArgument(f"invalid volume {text!r}: the path in the container must be absolute")
    return ":".join([source, *parts[1:]])


def parse_mount(text: str) -> dict[str, Json]:
    """`type=…,source=…,target=…,…`: fields in CSV, so a value with a comma is quoted."""
    fields = _fields(text)
    kind = fields.pop("type", "volume")
    mount: dict[str, Json] = {"Type": kind}
    if kind not in ("bind", "volume", "tmpfs", "image"):
        raise InvalidArgument(
            f"invalid mount {text!r}: its type is bind, volume, tmpfs or image, not {kind!r}"
        )
    for key, value in fields.items():
        _set(mount, kind, key, value, text)
    if not mount.get("Target"):
        raise InvalidArgument(f"invalid mount {text!r}: it has no target=")
    if kind in ("bind", "image") and not mount.get("Source"):
        raise InvalidArgument(f"invalid mount {text!r}: a {kind} needs a source=")
    return mount


def _fields(text: str) -> dict[str, str]:
    parts: list[str] = [""]
    quoted = False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    fields: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if not equals and key not in _SWITCHES:
            raise InvalidArgument(f"invalid mount {text!r}: {part!r} is not KEY=VALUE")
        if key in ("volume-opt", "volume-label") and key in fields:
            value = f"{fields[key]}\n{value}"
        fields[key] = value if equals else "true"
    return fields


def _set(mount: dict[str, Json], kind: str, key: str, value: str, text: str) -> None:
    """One field; which ones a mount may have depends on its type."""
    if key in ("source", "src"):
        relative = kind == "bind" and not value.startswith("/")
        mount["Source"] = os.path.abspath(value) if relative else value
    elif key in ("target", "dst", "destination"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _switch(value, text)
    elif key == "consistency":
        mount["Consistency"] = value
    elif kind == "bind":
        _set_bind(mount.setdefault("BindOptions", {}), key, value, text)
    elif kind == "volume":
        _set_volume(mount.setdefault("VolumeOptions", {}), key, value, text)
    elif kind == "tmpfs" and key in ("tmpfs-size", "tmpfs-mode"):
        options = mount.setdefault("TmpfsOptions", {})
        if key == "tmpfs-size":
            from corten.cli.quantity import parse_bytes

            options["SizeBytes"] = parse_bytes(value, "tmpfs-size")
        else:
            options["Mode"] = _octal(value, text)
    elif kind == "image" and key == "image-subpath":
        mount["ImageOptions"] = {"Subpath": value}
    else:
        raise _unknown(text, key, kind)


def _unknown(text: str, key: str, kind: str) -> InvalidArgument:
    return InvalidArgument(f"invalid mount {text!r}: {key!r} is not an option of a {kind} mount")


def _set_bind(options: dict[str, Json], key: str, value: str, text: str) -> None:
    if key == "bind-propagation":
        if value not in ("private", "rprivate", "shared", "rshared", "slave", "rslave"):
            raise InvalidArgument(f"invalid mount {text!r}: {value!r} is not a propagation")
        options["Propagation"] = value
    elif key == "bind-nonrecursive":
        options["NonRecursive"] = _switch(value, text)
    elif key == "bind-recursive":
        choices: dict[str, dict[str, Json]] = {
            "enabled": {},
            "disabled": {"NonRecursive": True},
            "writable": {"ReadOnlyNonRecursive": True},
            "readonly": {"ReadOnlyForceRecursive": True},
        }
        if value not in choices:
            raise InvalidArgument(f"invalid mount {text!r}: bind-recursive is {', '.join(choices)}")
        options.update(choices[value])
    elif key == "idmap":
        options["IdMap"] = _switch(value, text)
    else:
        raise _unknown(text, key, "bind")


def _set_volume(options: dict[str, Json], key: str, value: str, text: str) -> None:
    if key == "volume-nocopy":
        options["NoCopy"] = _switch(value, text)
    elif key == "volume-subpath":
        options["Subpath"] = value
    elif key == "volume-label":
        options["Labels"] = {k: v for k, _, v in (item.partition("=") for item in value.split("\n"))}
    elif key == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-opt":
        config = options.setdefault("DriverConfig", {})
        config["Options"] = {k: v for k, _, v in (item.partition("=") for item in value.split("\n"))}
    else:
        raise _unknown(text, key, "volume")


def _switch(value: str, text: str) -> bool:
    if value.lower() in ("true", "1"):
        return True
    if value.lower() in ("false", "0"):
        return False
    raise InvalidArgument(f"invalid mount {text!r}: {value!r} is neither true nor false")


def _octal(value: str, text: str) -> int:
    try:
        return int(value, 8)
    except ValueError:
        raise InvalidArgument(f"invalid mount {text!r}: the mode {value!r} is not octal") from None
