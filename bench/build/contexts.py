"""The contexts that are built: made by the harness, the same bytes for every builder."""

from __future__ import annotations

import random
from pathlib import Path

from bench.engines import IMAGE

TEN_RUNS = f"FROM {IMAGE}\n" + "".join(f"RUN echo {number} > /file{number}\n" for number in range(10))
COPY_ALL = f"FROM {IMAGE}\nCOPY . /context\n"
TWO_STAGES = f"""FROM {IMAGE} AS first
RUN sleep 3 && echo first > /first
FROM {IMAGE} AS second
RUN sleep 3 && echo second > /second
FROM {IMAGE}
COPY --from=first /first /
COPY --from=second /second /
"""
USED_STAGE = f"FROM {IMAGE}\nRUN echo built > /built\n"
UNUSED_STAGE = f"FROM {IMAGE} AS unused\nRUN sleep 3\n{USED_STAGE}"


def dockerfile(directory: Path, text: str) -> Path:
    """A context with nothing but this Dockerfile in it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(text)
    return directory


def small_files(directory: Path, count: int, seed: int = 1) -> Path:
    """`count` files of about 1 KiB, 100 in a directory, with a Dockerfile that copies them all."""
    noise = random.Random(seed)
    for number in range(count):
        folder = directory / f"directory{number // 100}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        (folder / f"file{number}").write_bytes(noise.randbytes(noise.randrange(200, 1800)))
    (directory / ".dockerignore").write_text("Dockerfile\n.dockerignore\n*.log\n**/node_modules\n")
    return dockerfile(directory, COPY_ALL)


def big_file(directory: Path, size: int = 500_000_000) -> Path:
    """One file that no compressor makes smaller."""
    directory.mkdir(parents=True)
    noise = random.Random(2)
    with (directory / "big").open("wb") as file:
        for _piece in range(size // 10_000_000):
            file.write(noise.randbytes(10_000_000))
    return dockerfile(directory, COPY_ALL)
