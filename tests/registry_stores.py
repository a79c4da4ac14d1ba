"""The blob stores and databases that the contract suites run on, and what is missing for those that they
skip."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry_server import free_port

ACCESS, SECRET = "corten", "corten-secret"


def _find(name: str) -> str | None:
    """A program in PATH, or where `go install` and Debian's PostgreSQL put theirs."""
    places = [
        os.environ.get("GOBIN", ""),
        os.path.expanduser("~/go/bin"),
        "/var/cache/corten-bench/bin",
        *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(filter(None, places)))


class S3Server:
    """versitygw on files: an S3-compatible server."""

    def __init__(self, directory: Path) -> None:
        program = _find("versitygw")
        if program is None:
            pytest.skip(
                "needs an S3-compatible server: go install github.com/versity/versitygw/cmd/versitygw@latest"
            )
        self.port = free_port()
        self._directory = directory
        data, sidecar = directory / "s3", directory / "attributes"
        for path in (data / "images", sidecar):
            path.mkdir(parents=True)
        self._command = [
            program,
            *("--access", ACCESS, "--secret", SECRET, "--port", f"127.0.0.1:{self.port}"),
            *("posix", "--sidecar", str(sidecar), str(data)),
        ]
        self._log = open(directory / "s3.log", "wb")  # noqa: SIM115
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.close()
                    raise RuntimeError((self._directory / "s3.log").read_text()) from None
                time.sleep(0.05)

    @property
    def options(self) -> dict[str, str]:
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "region": "us-east-1",
            "access_key_id": ACCESS,
            "secret_access_key": SECRET,
        }

    @staticmethod
    def url() -> str:
        """A prefix of the bucket that nobody else uses."""
        return f"s3://images/{secrets.token_hex(6)}"

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """At once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.stop()
        self._log.close()


class PostgresServer:
    """A cluster of PostgreSQL of its own, on a socket in its directory."""

    def __init__(self) -> None:
        self._initdb, self._postgres = _find("initdb"), _find("postgres")
        if self._initdb is None or self._postgres is None:
            pytest.skip("needs PostgreSQL: apt-get install postgresql")
        self.directory = Path(tempfile.mkdtemp(prefix="ct-pg-", dir="/tmp"))
        self._user: list[str] = []
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            shutil.chown(self.directory, "nobody")
            self._user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        self.port = free_port()
        self._run(
            self._initdb,
            "-D",
            f"{self.directory}/data",
            "-U",
            "corten",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _run(self, *command: str) -> None:
        subprocess.run(
            [*self._user, *command], check=True, capture_output=True, cwd=self.directory, timeout=60
        )

    def start(self) -> None:
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._user,
                    str(self._postgres),
                    *("-D", f"{self.directory}/data", "-p", str(self.port), "-k", str(self.directory)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200"),
                ],
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError((self.directory / "log").read_text())
            time.sleep(0.05)

    def _answers(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self._conninfo("postgres"), connect_timeout=2).close()
            return True
        return False

    def _conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=corten dbname={database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg

        name = f"r{secrets.token_hex(6)}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://corten@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """At once, as a crash does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def s3_server(directory: Path) -> Iterator[S3Server]:
    server = S3Server(directory)
    yield server
    server.close()


def postgres_server() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg")
    server = PostgresServer()
    yield server
    server.close()
