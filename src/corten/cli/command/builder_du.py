"""corten builder du: what the build cache holds, and takes on disk."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.listing import Row
    from corten.cli.options import Arguments
    from corten.cli.session import Session
    from corten.client.jsontext import Json

USAGE = "corten builder du [OPTIONS]"
EXAMPLES = ("corten builder du", "corten builder du --verbose --filter type=exec.cachemount")
ARGS = (0, 0)
OPTIONS = (
    ("builder", "", "str", "NAME", "(hidden) there is one builder"),
    (
        "filter",
        "",
        "list",
        "KEY=VALUE",
        "Only some: id=, parent=, type=, description=, inuse=, shared=, mutable=",
    ),
    ("format", "", "str", "TEMPLATE", "'table', 'json', a Go template, or 'table TEMPLATE'"),
    ("verbose", "", "bool", "", "Everything about each"),
)
HEADERS = {
    "ID": "ID",
    "Reclaimable": "RECLAIMABLE",
    "Size": "SIZE",
    "LastUsedSince": "LAST ACCESSED",
    "CacheType": "CACHE TYPE",
    "CreatedSince": "CREATED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
    "Description": "DESCRIPTION",
}
_FILTERS = ("id", "parent", "type", "description", "inuse", "shared", "private", "mutable", "immutable")
_MUTABLE = ("exec.cachemount", "source.local", "source.git.checkout")


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.cli import listing
    from corten.cli.quantity import human_size

    items = session.get("/system/df", {"type": "build-cache"}).get("BuildCache") or []
    items = [item for item in items if _passes(item, arguments.many("filter"))]
    items.sort(key=lambda item: item.get("Size", 0), reverse=True)
    if arguments.on("verbose"):
        for item in items:
            print("\n".join(_described(item)) + "\n")
    else:
        rows = [row(item) for item in items]
        columns = ("ID", "Reclaimable", "Size", "LastUsedSince")
        listing.show(rows, headers=HEADERS, columns=columns, style=arguments.text("format"))
    if not arguments.text("format"):
        own = [item for item in items if not item.get("Shared")]
        print(f"Reclaimable:\t{human_size(sum(item['Size'] for item in own if not item.get('InUse')))}")
        print(f"Total:\t\t{human_size(sum(item['Size'] for item in own))}")
    return 0


def row(item: Json) -> Row:
    """The placeholders of one entry."""
    from corten.cli.quantity import ago, human_size, parse_timestamp

    last = parse_timestamp(item.get("LastUsedAt") or "")
    return {
        "ID": item["ID"],
        "Reclaimable": "false" if item.get("InUse") else "true",
        "Size": human_size(item.get("Size") or 0),
        "LastUsedSince": ago(last) if last else "",
        "CacheType": item.get("Type", ""),
        "CreatedSince": ago(parse_timestamp(item.get("CreatedAt") or "")),
        "UsageCount": str(item.get("UsageCount") or 0),
        "Shared": "true" if item.get("Shared") else "false",
        "Description": item.get("Description", ""),
    }


def _described(item: Json) -> list[str]:
    shown = row(item)
    lines = [f"ID:\t\t{shown['ID']}"]
    for parent in item.get("Parents") or ():
        lines.append(f"Parent:\t\t{parent}")
    lines += [
        f"Created at:\t{item.get('CreatedAt', '')}",
        f"Reclaimable:\t{shown['Reclaimable']}",
        f"Shared:\t\t{shown['Shared']}",
        f"Size:\t\t{shown['Size']}",
        f"Description:\t{shown['Description']}",
        f"Usage count:\t{shown['UsageCount']}",
    ]
    if shown["LastUsedSince"]:
        lines.append(f"Last used:\t{shown['LastUsedSince']}")
    return [*lines, f"Type:\t\t{shown['CacheType']}"]


def _passes(item: Json, filters: list[str]) -> bool:
    from corten.errors import InvalidArgument

    is_mutable, is_shared = item.get("Type", "") in _MUTABLE, bool(item.get("Shared"))
    truths = {
        "inuse": bool(item.get("InUse")),
        "shared": is_shared,
        "private": not is_shared,
        "mutable": is_mutable,
        "immutable": not is_mutable,
    }
    texts = {
        "id": [item["ID"]],
        "parent": item.get("Parents") or [],
        "type": [item.get("Type", "")],
        "description": [item.get("Description", "")],
    }
    for text in filters:
        key, equals, value = text.partition("=")
        key = "parent" if key == "parents" else key
        if not equals or key not in _FILTERS:
            raise InvalidArgument(
                f"invalid filter {text!r}: write it as KEY=VALUE, with {', '.join(_FILTERS)}"
            )
        if key in truths:
            if value.lower() not in ("", "true", "1", "false", "0"):
                raise InvalidArgument(f"invalid filter {text!r}: it is either true or false")
            fits = truths[key] is (value.lower() not in ("false", "0"))
        elif key == "type":
            fits = value in texts[key]
        else:
            fits = any(value in found for found in texts[key])
        if not fits:
            return False
    return True
