"""The content key of what an action takes."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence

from corten.build.context.contents import ContentDigests, Wanted
from corten.build.context.manifest import describe
from corten.build.context.model import Selection, SourceTree, Stop
from corten.build.context.selection import Match, select
from corten.build.graph import Copy


def digest_selection(tree: SourceTree, copy: Copy, *, stop: Stop | None = None) -> Selection:
    """See `model.DigestSelection`."""
    matches = select(tree, copy, stop=stop)
    digests = ContentDigests(tree)
    digests.complete(regular_files(matches), stop=stop)
    return describe(tree, matches, contents=copy.contents_of_directory, find=digests.find)


def regular_files(matches: Sequence[Match]) -> Iterator[Wanted]:
    """Those whose contents count."""
    for match in matches:
        if match.file is not None:
            name, status = match.file
            if stat.S_ISREG(status.st_mode):
                yield match.directory, name, status
        for listing in match.listings:
            for name, status in listing.files:
                if status.st_mode & 0o170000 == stat.S_IFREG:
                    yield listing.path, name, status
