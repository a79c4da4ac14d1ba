"""Servers that keep build caches, beside the S3 server of `registry_stores`."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import free_port

# Known to everybody: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class AzureServer:
    """azurite, in memory."""

    def __init__(self, directory: Path) -> None:
        places = ["/var/cache/corten-bench/azurite/node_modules/.bin", os.path.expanduser("~/.local/bin")]
        name = "azurite-blob"
        program = shutil.which(name) or shutil.which(name, path=os.pathsep.join(places))
        if program is None:
            pytest.skip("needs Azure Blob Storage's emulator: npm install --global azurite")
        self._port = free_port()
        self._log = open(directory / "azurite.log", "wb")  # noqa: SIM115
        command = [
            *(program, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"),
            *("--blobHost", "127.0.0.1", "--blobPort", str(self._port)),
        ]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=directory)
        deadline = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.close()
                raise RuntimeError((directory / "azurite.log").read_text())
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            return False
        return True

    @property
    def attributes(self) -> dict[str, str]:
        """Of a --cache-to type=azblob, in a container that is not there yet."""
        return {
            "account_url": f"http://127.0.0.1:{self._port}/{ACCOUNT}",
            "account_name": ACCOUNT,
            "secret_access_key": KEY,
        }

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


def azure_server(directory: Path) -> Iterator[AzureServer]:
    server = AzureServer(directory)
    yield server
    server.close()
