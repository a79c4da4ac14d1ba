"""corten system df: what images, containers and volumes take on disk."""

from __future__ import annotations

from corten.cli import listing, rows
from corten.cli.command import builder_du
from corten.cli.quantity import human_size
from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.listing import Row
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten system df [OPTIONS]"
EXAMPLES = ("corten system df", "corten system df -v")
ARGS = (0, 0)
OPTIONS = (
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("verbose", "v", "bool", "", "Each image, container and volume"),
)
HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    usage = session.get("/system/df")
    style = arguments.text("format")
    if arguments.on("verbose"):
        if style:
            raise InvalidArgument("the verbose and the format options conflict")
        print("\n".join(_verbose(usage)))
        return 0
    listing.show(_summary(usage), headers=HEADERS, columns=tuple(HEADERS), style=style)
    return 0


def _summary(usage: Json) -> list[Row]:
    images, containers = usage.get("Images") or [], usage.get("Containers") or []
    volumes, cache = usage.get("Volumes") or [], usage.get("BuildCache") or []
    layers = usage.get("LayersSize") or 0
    reclaimable = (usage.get("ImagesDiskUsage") or {}).get("Reclaimable", 0)
    running = [item for item in containers if item["State"] in ("running", "paused", "restarting")]
    written = sum(item.get("SizeRw") or 0 for item in containers)
    stopped = written - sum(item.get("SizeRw") or 0 for item in running)
    stored = sum(max((item.get("UsageData") or {}).get("Size", 0), 0) for item in volumes)
    bound = [item for item in volumes if (item.get("UsageData") or {}).get("RefCount", 0) > 0]
    unbound = stored - sum(max(item["UsageData"]["Size"], 0) for item in bound)
    in_cache = sum(item["Size"] for item in cache if not item.get("Shared"))
    idle_cache = sum(item["Size"] for item in cache if not item.get("Shared") and not item.get("InUse"))
    active_images = sum(bool(item.get("Containers")) for item in images)
    return [
        _row("Images", len(images), active_images, layers, reclaimable),
        _row("Containers", len(containers), len(running), written, stopped),
        _row("Local Volumes", len(volumes), len(bound), stored, unbound),
        _row("Build Cache", len(cache), sum(bool(item.get("InUse")) for item in cache), in_cache, idle_cache),
    ]


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> Row:
    percent = f" ({reclaimable * 100 // size}%)" if size > 0 and kind != "Build Cache" else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human_size(size),
        "Reclaimable": f"{human_size(reclaimable)}{percent}",
    }


def _table(headers: dict[str, str], columns: tuple[str, ...], items: list[Row]) -> list[str]:
    return listing.render(items, headers=headers, columns=columns).rstrip("\n").split("\n")


def _verbose(usage: Json) -> list[str]:
    images = [row for item in usage.get("Images") or () for row in rows.images(item)]
    lines = ["Images space usage:", ""]
    lines += _table(
        rows.IMAGE_HEADERS,
        ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"),
        images,
    )
    lines += ["", "Containers space usage:", ""]
    lines += _table(
        {**rows.CONTAINER_HEADERS, "RunningFor": "CREATED"},
        ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"),
        [_plain_size(rows.container(item)) for item in usage.get("Containers") or ()],
    )
    lines += ["", "Local Volumes space usage:", ""]
    volumes = [rows.volume(item) for item in usage.get("Volumes") or ()]
    lines += _table(
        {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}, ("Name", "Links", "Size"), volumes
    )
    cache = usage.get("BuildCache") or []
    in_cache = sum(item["Size"] for item in cache if not item.get("Shared"))
    lines += ["", f"Build cache usage: {human_size(in_cache)}", ""]
    lines += _table(
        {**builder_du.HEADERS, "ID": "CACHE ID", "LastUsedSince": "LAST USED"},
        ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"),
        [builder_du.row(item) for item in cache],
    )
    return lines


def _plain_size(row: Row) -> Row:
    return {**row, "Size": row["Size"].partition(" ")[0]}
