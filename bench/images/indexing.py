"""How long the EROFS index of a layer takes for each of its files: however many there are, the same."""

from __future__ import annotations

import io
import math
import os
import tarfile
import tempfile
import time
from pathlib import Path

from corten.snapshot.erofs.layer_index import index_layer
from corten.snapshot.tar_reader import TarReader

COUNTS = (1_000, 10_000, 100_000)


def layer(path: Path, count: int) -> None:
    """A tar of `count` files of 1 KiB in directories of 100."""
    content = os.urandom(1024)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(count):
            if number % 100 == 0:
                folder = tarfile.TarInfo(f"usr/share/{number // 10_000:03d}/{number // 100:05d}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(folder)
            file = tarfile.TarInfo(f"{folder.name}/file-{number:06d}.py")
            file.size, file.mode = len(content), 0o644
            archive.addfile(file, io.BytesIO(content))


def per_file(path: Path, count: int) -> float:
    """Microseconds a file, of one run."""
    with path.open("rb", buffering=0) as source, tempfile.TemporaryFile(dir=path.parent) as image:
        begin = time.perf_counter()
        done = index_layer(TarReader(source.read, what="layer"), image.fileno(), device_size=None)
        seconds = time.perf_counter() - begin
    if done.inodes < count:
        raise RuntimeError(f"the index has {done.inodes} inodes, the layer {count} files")
    return seconds / count * 1e6


def slope(points: dict[float, float]) -> float:
    """By how much the time for each file grows when there are ten times as many, as a factor: the fitted
    line in logarithms. 1 is flat."""
    xs = [math.log10(x) for x in points]
    ys = [math.log10(y) for y in points.values()]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return float(10 ** (rise / sum((x - mean_x) ** 2 for x in xs)))
