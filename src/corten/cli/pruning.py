"""`prune` of every kind: what was removed, and what that gave back."""

from __future__ import annotations

from corten.cli.quantity import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from corten.cli.options import Option
    from corten.cli.session import Session

FORCE: Option = ("force", "f", "bool", "", "Do not ask")
FILTER: Option = ("filter", "", "list", "KEY=VALUE", "Only some: until=<time or span>, label=<key>[=<value>]")


def prune(session: Session, kind: str, filters: Sequence[str]) -> int:
    """Prunes one kind, prints what went; returns the bytes that are free again."""
    from corten.cli.listing import filters as encode

    answer = session.post(f"/{kind}/prune", encode(filters)) or {}
    title, removed = {
        "containers": ("Deleted Containers:", answer.get("ContainersDeleted")),
        "images": ("Deleted Images:", answer.get("ImagesDeleted")),
        "volumes": ("Deleted Volumes:", answer.get("VolumesDeleted")),
        "networks": ("Deleted Networks:", answer.get("NetworksDeleted")),
    }[kind]
    if removed:
        print(title)
        for item in removed:
            if isinstance(item, str):
                print(item)
                continue
            for verb in ("Untagged", "Deleted"):
                if item.get(verb):
                    print(f"{verb.lower()}: {item[verb]}")
        print()
    return int(answer.get("SpaceReclaimed") or 0)


def prune_builds(session: Session, query: dict[str, str]) -> int:
    """Prunes the build cache, prints what went; returns the bytes that are free again."""
    answer = session.post("/build/prune", query) or {}
    if removed := answer.get("CachesDeleted"):
        print("Deleted build cache objects:", *removed, sep="\n", end="\n\n")
    return int(answer.get("SpaceReclaimed") or 0)


def total(size: int) -> None:
    """The last line of a prune."""
    print(f"Total reclaimed space: {human_size(size)}")
