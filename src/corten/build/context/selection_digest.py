"""The content key of what an action takes."""

from __future__ import annotations

from corten.build.context.contents import ContentDigests
from corten.build.context.manifest import describe
from corten.build.context.model import Selection, SourceTree, Stop
from corten.build.context.selection import select
from corten.build.graph import Copy


def digest_selection(tree: SourceTree, copy: Copy, *, stop: Stop | None = None) -> Selection:
    """See `model.DigestSelection`."""
    matches = select(tree, copy, stop=stop)
    return describe(ContentDigests(tree), matches, contents=copy.contents_of_directory, stop=stop)
