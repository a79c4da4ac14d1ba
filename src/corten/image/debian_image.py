"""The debian image: minbase by mmdebstrap, streamed straight into the store, the same bytes for the same
packages."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from corten.errors import CortenError, InvalidArgument, Unavailable, Unsupported
from corten.image.apt import PrivateApt
from corten.image.model import Progress, Report

DEFAULT_SUITE = "bookworm"
EPOCH = 1_700_000_000
"""SOURCE_DATE_EPOCH, in seconds, unless the environment sets one: no file is younger, so two runs give one
image."""

_MIRROR = "http://deb.debian.org/debian"
_SECURITY = "http://deb.debian.org/debian-security"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_NAME = re.compile(r"[a-z][a-z0-9.+-]*")
_PERL = ("-MPod::Usage", "-MMath::BigInt", "-e", 'require "syscall.ph"')
_MEND = "sudo apt-get install mmdebstrap"


def epoch() -> int:
    """The time, in seconds since 1970, that nothing in the image is younger than."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isdigit() else EPOCH


class Debootstrap:
    """A running mmdebstrap, to `read` the tar from; `finish` tells whether it went well."""

    def __init__(self, command: list[str], environment: dict[str, str], report: Report) -> None:
        self._report = report
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            start_new_session=True,
        )

    def read(self, size: int, /) -> bytes:
        """Some of the tar; raises at its end when mmdebstrap failed, so that nothing is made of half a
        system."""
        assert self._process.stdout is not None
        data: bytes = self._process.stdout.read(size) or b""
        if not data:
            self._finish()
        return data

    def _finish(self) -> None:
        if self._process.wait() == 0:
            return
        self._log.seek(0)
        text = self._log.read().decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.startswith(("E:", "W:", "mmdebstrap:"))]
        raise Unavailable(
            f"mmdebstrap could not make the Debian system: {'; '.join(lines[-3:]) or text.strip()[-300:]}"
        )

    def close(self) -> None:
        """Ends it, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def debootstrap(suite: str, include: Sequence[str], report: Report) -> Iterator[Debootstrap]:
    """Starts mmdebstrap for `suite`; fetches it first where the host has none."""
    for name in (suite, *include):
        if _NAME.fullmatch(name) is None:
            raise InvalidArgument(f"{name!r} is no name of a Debian suite or package")
    with tempfile.TemporaryDirectory(prefix="corten-debian-", ignore_cleanup_errors=True) as directory:
        base = Path(directory)
        base.chmod(0o711)
        program, environment = _find_program(base / "tools", report)
        keyring = _keyring(base / "keys", report)
        environment |= {"SOURCE_DATE_EPOCH": str(epoch()), "TMPDIR": str(base), "LC_ALL": "C.UTF-8"}
        command = [
            *program,
            "--variant=minbase",
            "--format=tar",
            f"--keyring={keyring}",
            '--aptopt=APT::Sandbox::User "root"',
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            *([f"--include={','.join(include)}"] if include else []),
            # Whatever the moment and the host leave behind, so that the same packages give the same bytes.
            '--customize-hook=rm -rf "$1"/var/log/*.log "$1"/var/log/apt/* "$1"/var/cache/ldconfig/aux-cache '
            '"$1"/etc/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/lib/dbus/machine-id',
            '--customize-hook=printf "localhost\\n" > "$1"/etc/hostname; : > "$1"/etc/resolv.conf; '
            ': > "$1"/etc/machine-id',
            suite,
            "-",
            *_sources(suite),
        ]
        report(Progress(f"Installing Debian {suite} (minbase{''.join(', ' + name for name in include)})"))
        process = Debootstrap(command, environment, report)
        try:
            yield process
        finally:
            process.close()


def _sources(suite: str) -> list[str]:
    lines = [f"deb {_MIRROR} {suite} main"]
    if suite not in ("sid", "unstable", "experimental"):
        lines += [f"deb {_MIRROR} {suite}-updates main", f"deb {_SECURITY} {suite}-security main"]
    return lines


def _find_program(tools: Path, report: Report) -> tuple[list[str], dict[str, str]]:
    environment = dict(os.environ)
    found = shutil.which("mmdebstrap")
    perl = shutil.which("perl")
    if found is not None:
        return [found], environment
    if perl is None:
        raise Unsupported(f"a Debian image needs mmdebstrap, and this host lacks even perl: {_MEND}")
    report(Progress("This host has no mmdebstrap: fetching it for this once"))
    apt = PrivateApt(_made(tools), report)
    root = apt.extract("mmdebstrap")
    if subprocess.run([perl, *_PERL], capture_output=True, check=False).returncode != 0:
        version = subprocess.run(
            [perl, "-e", 'printf "%vd", $^V'], capture_output=True, text=True, check=True
        ).stdout.rpartition(".")[0]
        library = f"libperl{version}"
        apt.extract(f"perl-modules-{version}", library if apt.exists(library) else f"{library}t64")
        places = [*root.glob("usr/share/perl/*"), *root.glob("usr/lib/*/perl/*"), root / "usr/share/perl5"]
        environment["PERL5LIB"] = ":".join(str(place) for place in places if place.is_dir())
    program = root / "usr/bin/mmdebstrap"
    if not program.is_file():
        raise Unsupported(f"a Debian image needs mmdebstrap: {_MEND}")
    return [perl, str(program)], environment


def _keyring(keys: Path, report: Report) -> Path:
    """Debian's archive keys: the host's, or from its package (Ubuntu has one as well)."""
    if _KEYRING.is_file():
        return _KEYRING
    try:
        root = PrivateApt(_made(keys), report).extract("debian-archive-keyring")
    except CortenError as error:
        raise Unsupported(
            "a Debian image needs Debian's archive keys: sudo apt-get install debian-archive-keyring"
        ) from error
    return root / str(_KEYRING)[1:]


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
