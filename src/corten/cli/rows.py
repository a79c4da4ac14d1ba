"""Placeholders of `--format` from the API's objects: containers, images, networks, volumes, as Docker names
them."""

from __future__ import annotations

from corten.cli.quantity import ago, human_size, local_time, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from corten.cli.listing import Row
    from corten.client.jsontext import Json

CONTAINER_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
IMAGE_HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}


def short(identifier: str, whole: bool = False) -> str:
    """An id as a person needs it."""
    return identifier if whole else identifier.removeprefix("sha256:")[:12]


def ellipsis(text: str, length: int) -> str:
    """At most `length` characters, the last an ellipsis when something is missing."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def label_text(labels: dict[str, str] | None) -> str:
    """`a=1,b=2`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def label_getter(labels: dict[str, str] | None) -> Callable[[str], str]:
    """`{{.Label "key"}}`."""
    return lambda key: (labels or {}).get(key, "")


def container(item: Json, whole: bool = False) -> Row:
    """A row of `ps`."""
    names = [name.removeprefix("/") for name in item.get("Names") or ()]
    if not whole:  # links show as parent/alias
        names = [name for name in names if "/" not in name]
    command = item["Command"]
    size = human_size(item.get("SizeRw") or 0, 3)
    if item.get("SizeRootFs"):
        size += f" (virtual {human_size(item['SizeRootFs'], 3)})"
    mounts = [mount.get("Name") or mount.get("Source", "") for mount in item.get("Mounts") or ()]
    networks = ((item.get("NetworkSettings") or {}).get("Networks")) or {}
    return {
        "ID": item["Id"] if whole else item["Id"][:12],
        "Image": _image_name(item, whole),
        "Command": f'"{command if whole else ellipsis(command, 20)}"',
        "CreatedAt": local_time(item["Created"]),
        "RunningFor": ago(item["Created"]),
        "Status": item.get("Status", ""),
        "State": item.get("State", ""),
        "Ports": ports(item.get("Ports") or ()),
        "Names": ",".join(names),
        "Size": size,
        "Labels": label_text(item.get("Labels")),
        "Label": label_getter(item.get("Labels")),
        "Mounts": ",".join(mount if whole else ellipsis(mount, 15) for mount in mounts),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in item.get("Mounts") or ())),
        "Networks": ",".join(sorted(networks)),
        "Platform": None,
    }


def _image_name(item: Json, whole: bool) -> str:
    image: str = item.get("Image") or ""
    if not image:
        return "<no image>"
    if not whole and image.startswith("sha256:"):
        return short(image)
    return image if whole else image.partition("@")[0]


def ports(items: Iterable[Json]) -> str:
    """`0.0.0.0:8080->80/tcp, 443/tcp`; neighbours are joined: `0.0.0.0:8000-8002->80-82/tcp`."""
    groups: list[list[Json]] = []
    ordered = sorted(
        items,
        key=lambda port: (
            port["PrivatePort"],
            port.get("IP") or "",
            port.get("PublicPort") or 0,
            port["Type"],
        ),
    )
    for port in ordered:
        for group in groups:
            if _follows(group[-1], port):
                group.append(port)
                break
        else:
            groups.append([port])
    return ", ".join(_port_group(group) for group in groups)


def _follows(last: Json, port: Json) -> bool:
    if (last.get("IP"), last["Type"], bool(last.get("PublicPort"))) != (
        port.get("IP"),
        port["Type"],
        bool(port.get("PublicPort")),
    ):
        return False
    if port["PrivatePort"] != last["PrivatePort"] + 1:
        return False
    return not port.get("PublicPort") or bool(port["PublicPort"] == last["PublicPort"] + 1)


def _port_group(group: list[Json]) -> str:
    first, last = group[0], group[-1]
    inside = _span(first["PrivatePort"], last["PrivatePort"])
    if not first.get("PublicPort"):
        return f"{inside}/{first['Type']}"
    address = first.get("IP") or ""
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{_span(first['PublicPort'], last['PublicPort'])}->{inside}/{first['Type']}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def images(item: Json, whole: bool = False, digests: bool = False) -> list[Row]:
    """The rows of `images` for one image: one for each name."""
    tags = [tag for tag in item.get("RepoTags") or () if tag != "<none>:<none>"]
    by_repository = {
        name: digest
        for name, _, digest in (text.partition("@") for text in item.get("RepoDigests") or ())
        if name != "<none>"
    }
    names: list[tuple[str, str, str]] = []
    for tag in tags:
        repository, _, version = tag.rpartition(":")
        names.append((repository, version, by_repository.get(repository, "<none>")))
    tagged = {repository for repository, _version, _digest in names}
    if digests or not names:
        names += [(name, "<none>", digest) for name, digest in by_repository.items() if name not in tagged]
    if not names:
        names = [("<none>", "<none>", "<none>")]
    size = human_size(item["Size"], 3)
    shared, count = item.get("SharedSize", -1), item.get("Containers", -1)
    return [
        {
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "ID": short(item["Id"], whole),
            "CreatedSince": ago(item["Created"]),
            "CreatedAt": local_time(item["Created"]),
            "Size": size,
            "VirtualSize": size,
            "Containers": "N/A" if count == -1 else str(count),
            "SharedSize": "N/A" if shared == -1 else human_size(shared),
            "UniqueSize": "N/A" if shared == -1 else human_size(item["Size"] - shared),
        }
        for repository, tag, digest in names
    ]


def volume(item: Json) -> Row:
    """A row of `volume ls`."""
    usage = item.get("UsageData") or {}
    size, links = usage.get("Size", -1), usage.get("RefCount", -1)
    return {
        "Name": item["Name"],
        "Driver": item["Driver"],
        "Scope": item.get("Scope", "local"),
        "Mountpoint": item.get("Mountpoint", ""),
        "Labels": label_text(item.get("Labels")),
        "Label": label_getter(item.get("Labels")),
        "Links": "N/A" if links == -1 else str(links),
        "Size": "N/A" if size == -1 else human_size(size, 3),
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    }


def network(item: Json, whole: bool = False) -> Row:
    """A row of `network ls`."""
    created = parse_timestamp(item.get("Created", ""))
    return {
        "ID": item["Id"] if whole else item["Id"][:12],
        "Name": item["Name"],
        "Driver": item["Driver"],
        "Scope": item.get("Scope", "local"),
        "IPv4": "true",
        "IPv6": "true" if item.get("EnableIPv6") else "false",
        "Internal": "true" if item.get("Internal") else "false",
        "Labels": label_text(item.get("Labels")),
        "Label": label_getter(item.get("Labels")),
        "CreatedAt": local_time(created) if created else "",
    }
