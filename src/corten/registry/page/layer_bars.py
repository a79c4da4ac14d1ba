"""An image's layers as a picture: one bar over all, a bar for each, and who else has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corten.registry.page import addresses, text
from corten.registry.page.config_blob import Step
from corten.registry.page.document import Descriptor

WIDTH = 1000
"""Of the pictures, in units of their own."""
LEAST = 4


@dataclass(frozen=True, slots=True)
class User:
    """Another image that has a layer."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer. `width` is its bar's; `has_more` that not all of its users were looked at."""

    number: int
    descriptor: Descriptor
    width: int
    users: tuple[User, ...]
    has_more: bool
    step: Step | None

    @property
    def is_shared(self) -> bool:
        return bool(self.users)

    @property
    def title(self) -> str:
        """A note for annotation-named artifacts' files (ORAS)."""
        return (self.descriptor.annotations or {}).get("org.opencontainers.image.title", "")


@dataclass(frozen=True, slots=True)
class Segment:
    """A layer's part of the one bar."""

    number: int
    start: float
    width: float
    is_shared: bool
    label: str


@dataclass(frozen=True, slots=True)
class Bars:
    """The one bar, and what it says in numbers."""

    segments: tuple[Segment, ...]
    shared: int
    shared_bytes: int
    total_bytes: int


def layer_rows(
    layers: Sequence[Descriptor],
    users: Mapping[str, Sequence[tuple[str, str, str]]],
    repository: str,
    steps: Sequence[Step],
    most: int,
) -> list[LayerRow]:
    """`users` are (repository, manifest, tag or "") of each digest."""
    largest = max((max(0, layer.size) for layer in layers), default=0)
    made_by = {step.layer: step for step in steps if step.layer >= 0}
    return [
        LayerRow(
            number,
            layer,
            max(LEAST, round(WIDTH * max(0, layer.size) / largest)) if largest else LEAST,
            _users(users.get(layer.digest, ()), repository),
            len(users.get(layer.digest, ())) >= most,
            made_by.get(number),
        )
        for number, layer in enumerate(layers)
    ]


def _users(found: Sequence[tuple[str, str, str]], repository: str) -> tuple[User, ...]:
    """Each image once, those of the same repository first."""
    users: dict[str, User] = {}
    for name, digest, tag in sorted(found, key=lambda entry: (entry[0] != repository, entry)):
        reference = tag or digest
        prefix = "" if name == repository else name
        shown = f"{prefix}:{tag}" if tag else f"{prefix}@{text.short_digest(digest)}"
        users.setdefault(
            shown,
            User(
                shown.removeprefix(":") if not prefix and tag else shown, addresses.manifest(name, reference)
            ),
        )
    return tuple(users.values())


def bars(rows: Sequence[LayerRow]) -> Bars:
    """The one bar over all layers; small ones keep a width that can be seen."""
    sizes = [max(0, row.descriptor.size) for row in rows]
    total = sum(sizes)
    raw = [max(LEAST, WIDTH * size / total) if total else WIDTH / len(rows) for size in sizes]
    scale = WIDTH / sum(raw) if raw else 1
    segments: list[Segment] = []
    start = 0.0
    for row, width in zip(rows, raw, strict=True):
        label = f"Layer {row.number + 1}: {text.size(max(0, row.descriptor.size))}"
        segments.append(Segment(row.number, round(start, 2), round(width * scale, 2), row.is_shared, label))
        start += width * scale
    shared = [row for row in rows if row.is_shared]
    return Bars(
        tuple(segments),
        len(shared),
        sum(max(0, row.descriptor.size) for row in shared),
        total,
    )
