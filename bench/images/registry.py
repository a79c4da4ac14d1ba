"""Debian's docker-registry on loopback."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench.engines import require


class Registry:
    """One process that serves what is in `storage`."""

    name = "docker-registry"

    def __init__(self, storage: Path) -> None:
        storage.mkdir(parents=True, exist_ok=True)
        self.program = require("docker-registry", "docker-registry")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self._config = tempfile.NamedTemporaryFile("w", prefix="bench-registry-", suffix=".yml")  # noqa: SIM115
        self._config.write(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        self._config.flush()
        self.process = subprocess.Popen(
            [self.program, "serve", self._config.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        raise RuntimeError(f"docker-registry ended with {self.process.returncode}")

    def version(self) -> str:
        return subprocess.run(
            [self.program, "--version"], check=True, capture_output=True, text=True
        ).stdout.split()[-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._config.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
