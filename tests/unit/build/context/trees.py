"""Trees for tests: made of a description, and opened as sources."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from corten.build.context.model import ContentCache, SourceTree

Description = Mapping[str, "str | bytes | int | tuple[str, int]"]
"""By path: text or bytes (with its mode), `-> target` (a link), `= path` (a hard link); a path that ends in
a slash is a directory (with its mode)."""


def plant(root: Path, description: Description) -> Path:
    """Makes it beneath `root`."""
    root.mkdir(parents=True, exist_ok=True)
    modes: list[tuple[Path, int]] = []
    for name, value in description.items():
        content, mode = value if isinstance(value, tuple) else (value, None)
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            modes.append((path, content if isinstance(content, int) else 0o755))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.is_file():
            path.unlink()
        if isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content[3:])
        elif isinstance(content, str) and content.startswith("= "):
            path.hardlink_to(root / content[2:])
        else:
            assert not isinstance(content, int)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            modes.append((path, 0o644 if mode is None else mode))
    for path, mode in reversed(modes):
        path.chmod(mode)
    return root


def source(
    root: Path,
    *,
    ignore: tuple[str, ...] = (),
    keep_owners: bool = False,
    contents: ContentCache | None = None,
) -> SourceTree:
    """Its descriptor lives as long as the test's process: there are few."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return SourceTree(fd, "the build context", ignore, keep_owners, contents)
