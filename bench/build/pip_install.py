"""What `pip install` needs without a network: a Debian base with it, sources, an index."""

from __future__ import annotations

import functools
import http.server
import io
import os
import subprocess
import tarfile
import threading
from pathlib import Path

from bench.engines import require

BASE = "bench-python"
CACHE = Path("/var/cache/corten-bench")
_PACKAGES = "python3,python3-pip,python3-setuptools,python3-wheel"
_PROJECTS, _MODULES = 6, 200


def base_archive(cache: Path = CACHE) -> Path:
    """The tar of a root file system with pip, made once."""
    archive = cache / "python.tar"
    if not archive.exists():
        program = require("mmdebstrap", "mmdebstrap")
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / f"making-{os.getpid()}.tar"
        try:
            command = [
                program,
                "--quiet",
                "--variant=minbase",
                f"--include={_PACKAGES}",
                _suite(),
                str(partial),
            ]
            subprocess.run(command, check=True)
            partial.rename(archive)
        finally:
            partial.unlink(missing_ok=True)
    return archive


def _suite() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2]
    return "stable"


def write_index(directory: Path) -> list[str]:
    """An index (PEP 503) of projects that are source only, of many modules each; their names."""
    names = [f"project{number}" for number in range(_PROJECTS)]
    for name in names:
        page = directory / "simple" / name
        page.mkdir(parents=True)
        archive = f"{name}-1.0.tar.gz"
        (page / archive).write_bytes(_source_distribution(name))
        (page / "index.html").write_text(f'<a href="{archive}">{archive}</a>')
    return names


def _source_distribution(name: str) -> bytes:
    setup = f"from setuptools import setup\nsetup(name={name!r}, version='1.0', packages=[{name!r}])\n"
    files = {
        "setup.py": setup,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}/__init__.py": "",
        **{f"{name}/m{number}.py": f"VALUE = {number}\n" * 100 for number in range(_MODULES)},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{path}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: requests are no news."""


class Index:
    """Serves `directory` on loopback."""

    def __init__(self, directory: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(directory))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def dockerfile(names: list[str], url: str) -> str:
    """Installs the projects, pip's cache in a cache mount. Not isolated: setuptools is in the base."""
    install = "pip install --break-system-packages --no-build-isolation --root-user-action=ignore"
    return (
        f"FROM {BASE}\nRUN --mount=type=cache,target=/root/.cache/pip {install} -i {url} {' '.join(names)}\n"
    )
