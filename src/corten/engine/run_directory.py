"""The run directory of a container: what its monitors left there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def clear_run_directory(path: Path) -> None:
    """Removes the directory and its handful of files."""
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            try:
                os.unlink(entry.path)
            except FileNotFoundError:
                pass
    try:
        path.rmdir()
    except OSError:
        return
