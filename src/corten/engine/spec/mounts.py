"""Which mounts a container gets: -v, --mount, --tmpfs, --volumes-from and the image's VOLUMEs, as records."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corten.api.container import ContainerConfig
from corten.api.host_config import HostConfig, Mount
from corten.engine.record import Container, MountRecord
from corten.errors import InvalidArgument
from corten.volume.store import check_name

PROPAGATIONS = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_IGNORED_MODES = frozenset({"z", "Z", "cached", "delegated", "consistent"})
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_TMPFS_FLAGS = frozenset(
    [
        "rw",
        "ro",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "dirsync",
        "remount",
        "mand",
        "nomand",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "bind",
        "rbind",
        "unbindable",
        "runbindable",
        "private",
        "rprivate",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "defaults",
    ]
)


# What lxcfs and the like provide, as runc has it.
_PROC_FILES = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    )
)


@dataclass(slots=True)
class Resolved:
    """`mounts` in the order of mounting; `drivers`: volume → driver, options and labels to make it with."""

    mounts: list[MountRecord] = field(default_factory=list)
    drivers: dict[str, tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=dict)


ImageId = Callable[[str], str]


def resolve_mounts(
    config: ContainerConfig,
    host: HostConfig,
    *,
    find: Callable[[str], Container],
    new_name: Callable[[], str],
    image_id: ImageId,
) -> Resolved:
    """Docker's order of precedence: --volumes-from, then -v, then --mount, then what the image declares.

    `find` resolves a container, `new_name` gives the name of an anonymous volume. Nothing is made here.
    """
    result = Resolved()
    points: dict[str, MountRecord] = {}
    for entry in host.volumes_from:
        for record in _from_container(entry, find):
            points[record.destination] = record
    own: set[str] = set()

    def add(record: MountRecord) -> None:
        if record.destination in own:
            raise InvalidArgument(f"Duplicate mount point: {record.destination}")
        own.add(record.destination)
        points[record.destination] = record

    for text in host.binds:
        add(parse_bind(text, driver=host.volume_driver, new_name=new_name))
    for mount in host.mounts:
        record = _from_mount(mount, result, new_name=new_name, image_id=image_id)
        add(record)
    for destination, options in host.tmpfs.items():
        add(_tmpfs(destination, options))
    for destination in config.volumes or {}:
        path = check_destination(destination)
        if path not in points:
            points[path] = MountRecord(
                type="volume",
                destination=path,
                name=new_name(),
                driver="local",
                anonymous=True,
                origin="image",
            )
    result.mounts = sorted(
        points.values(), key=lambda record: record.destination.count("/") if record.destination != "/" else 0
    )
    return result


def check_destination(path: str) -> str:
    """The destination, cleaned; InvalidArgument when it is not absolute or is the root itself."""
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    clean = posixpath.normpath(path)
    clean = "/" + clean.lstrip("/")
    if clean == "/":
        raise InvalidArgument("invalid specification: destination can't be '/'")
    if (clean == "/proc" or clean.startswith("/proc/")) and clean not in _PROC_FILES:
        # What is masked there, and what a process says of itself there, is not to be replaced.
        raise InvalidArgument(f'"{path}" cannot be mounted because it is inside /proc')
    return clean


def parse_bind(text: str, *, driver: str, new_name: Callable[[], str]) -> MountRecord:
    """An entry of -v: "DST", "SRC:DST" or "SRC:DST:MODE"."""
    parts = text.split(":")
    if not text or len(parts) > 3 or "" in parts[:2]:
        raise InvalidArgument(f"invalid volume specification: '{text}'")
    mode = parts[2] if len(parts) == 3 else ""
    words = [word for word in mode.split(",") if word]
    for word in words:
        if (
            word not in ("ro", "rw", "nocopy", "idmap")
            and word not in PROPAGATIONS
            and word not in _IGNORED_MODES
        ):
            raise InvalidArgument(f"invalid mode: {mode}")
    if "ro" in words and "rw" in words:
        raise InvalidArgument(f"invalid mode: {mode}")
    propagation = next((word for word in words if word in PROPAGATIONS), "")
    if len(parts) == 1:
        return MountRecord(
            type="volume",
            destination=check_destination(parts[0]),
            name=new_name(),
            driver=driver or "local",
            anonymous=True,
        )
    source, destination = parts[0], check_destination(parts[1])
    if source.startswith("/"):
        if "nocopy" in words:
            raise InvalidArgument(f"invalid mode: {mode}: nocopy is for volumes only")
        return MountRecord(
            type="bind",
            destination=destination,
            source=posixpath.normpath(source),
            mode=mode,
            rw="ro" not in words,
            propagation=propagation or "rprivate",
            id_map="idmap" in words,
        )
    check_name(source)
    if propagation:
        raise InvalidArgument(f"invalid mode: {mode}: propagation is for bind mounts only")
    return MountRecord(
        type="volume",
        destination=destination,
        name=source,
        driver=driver or "local",
        mode=mode or "z",
        rw="ro" not in words,
        no_copy="nocopy" in words,
        id_map="idmap" in words,
    )


def _from_container(entry: str, find: Callable[[str], Container]) -> Sequence[MountRecord]:
    ref, _, mode = entry.partition(":")
    if not ref or mode not in ("", "ro", "rw", "z", "Z"):
        raise InvalidArgument(f"invalid volumes-from specification: '{entry}'")
    import msgspec

    return [
        msgspec.structs.replace(
            record, origin="from", rw=record.rw and mode != "ro", mode=mode or record.mode
        )
        for record in find(ref).definition.mounts
        if record.type in ("bind", "volume") and record.origin != "tmpfs"
    ]


def _invalid(mount: Mount, what: str) -> InvalidArgument:
    return InvalidArgument(f'invalid mount config for type "{mount.type}": {what}')


def _from_mount(
    mount: Mount, result: Resolved, *, new_name: Callable[[], str], image_id: ImageId
) -> MountRecord:
    if mount.type not in ("bind", "volume", "tmpfs", "image"):
        raise InvalidArgument(f'mount type unknown: "{mount.type}"')
    if not mount.target:
        raise _invalid(mount, "field Target must not be empty")
    for option, wanted in (
        (mount.bind_options, "bind"),
        (mount.volume_options, "volume"),
        (mount.tmpfs_options, "tmpfs"),
        (mount.image_options, "image"),
    ):
        if option is not None and mount.type != wanted:
            raise _invalid(mount, f"field {wanted.capitalize()}Options must not be specified")
    try:
        destination = check_destination(mount.target)
    except InvalidArgument as error:
        raise _invalid(mount, error.message) from error
    if mount.type == "bind":
        return _bind_mount(mount, destination)
    if mount.type == "volume":
        return _volume_mount(mount, destination, result, new_name)
    if mount.type == "tmpfs":
        return _tmpfs_mount(mount, destination)
    if not mount.source:
        raise _invalid(mount, "field Source must not be empty")
    return MountRecord(
        type="image",
        destination=destination,
        source=mount.source,
        rw=False,
        origin="mount",
        subpath=_subpath(mount, mount.image_options.subpath if mount.image_options else ""),
        image_id=image_id(mount.source),
    )


def _subpath(mount: Mount, path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise _invalid(mount, "subpath must be a relative path within the volume")
    return path


def _bind_mount(mount: Mount, destination: str) -> MountRecord:
    options = mount.bind_options
    if not mount.source:
        raise _invalid(mount, "field Source must not be empty")
    if not mount.source.startswith("/"):
        raise _invalid(mount, f"invalid mount path: '{mount.source}' mount path must be absolute")
    propagation = options.propagation if options else ""
    if propagation and propagation not in PROPAGATIONS:
        raise _invalid(mount, f"invalid propagation mode: {propagation}")
    if not Path(mount.source).exists():
        if not (options and options.create_mountpoint):
            raise _invalid(mount, f"bind source path does not exist: {mount.source}")
        Path(mount.source).mkdir(parents=True, exist_ok=True)
    return MountRecord(
        type="bind",
        destination=destination,
        source=posixpath.normpath(mount.source),
        rw=not mount.read_only,
        propagation=propagation or "rprivate",
        non_recursive=bool(options and options.non_recursive),
        id_map=bool(options and options.id_map),
        origin="mount",
    )


def _volume_mount(
    mount: Mount, destination: str, result: Resolved, new_name: Callable[[], str]
) -> MountRecord:
    options = mount.volume_options
    name = mount.source
    anonymous = not name
    if anonymous:
        if options and options.subpath:
            raise _invalid(mount, "must not set Subpath when using anonymous volumes")
        name = new_name()
    else:
        check_name(name)
    driver = "local"
    if options is not None:
        config = options.driver_config
        driver = (config.name if config else "") or "local"
        result.drivers[name] = (driver, dict(config.options) if config else {}, dict(options.labels))
    return MountRecord(
        type="volume",
        destination=destination,
        name=name,
        driver=driver,
        mode="z",
        rw=not mount.read_only,
        no_copy=bool(options and options.no_copy),
        subpath=_subpath(mount, options.subpath if options else ""),
        anonymous=anonymous,
        origin="mount",
    )


def _tmpfs_mount(mount: Mount, destination: str) -> MountRecord:
    if mount.source:
        raise _invalid(mount, "field Source must not be specified")
    words = list(_TMPFS_DEFAULTS)
    if (options := mount.tmpfs_options) is not None:
        if options.size_bytes < 0:
            raise _invalid(mount, "invalid tmpfs size")
        if options.size_bytes:
            words.append(f"size={options.size_bytes}")
        if options.mode:
            words.append(f"mode={options.mode:o}")
        for pair in options.options:
            _override(words, "=".join(pair))
    return MountRecord(
        type="tmpfs", destination=destination, rw=not mount.read_only, options=tuple(words), origin="mount"
    )


def _tmpfs(destination: str, text: str) -> MountRecord:
    path = check_destination(destination)
    words = list(_TMPFS_DEFAULTS)
    for word in filter(None, text.split(",")):
        name, separator, value = word.partition("=")
        valid = (
            (name == "size" and re.fullmatch(r"\d+[kKmMgG%]?", value))
            or (name == "mode" and re.fullmatch(r"0?[0-7]{1,4}", value))
            or (name in ("uid", "gid") and value.isdigit())
            or (name in ("nr_inodes", "nr_blocks") and re.fullmatch(r"\d+[kKmMgG]?", value))
            or (name in ("mpol", "huge") and value)
        )
        if (separator and not valid) or (not separator and name not in _TMPFS_FLAGS):
            raise InvalidArgument(f'invalid tmpfs option ["{word}"]')
        if word != "defaults":
            _override(words, word)
    return MountRecord(
        type="tmpfs", destination=path, rw="ro" not in words, options=tuple(words), mode=text, origin="tmpfs"
    )


def _override(words: list[str], word: str) -> None:
    """exec takes back noexec, and the other way round."""
    opposite = word.removeprefix("no") if word.startswith("no") and "=" not in word else "no" + word
    if opposite in words:
        words.remove(opposite)
    if word not in words:
        words.append(word)
