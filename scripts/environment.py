"""The checkout's own Python environment, made with nothing but python3: what `./try` and `./test` begin with.

No pip, no ensurepip, no compiler and no root are needed: an empty virtual environment, then pip from its
wheel (whose digest is written here, so that not even the host's certificates have to be right), then Corten
with its dependencies and those of its registry. PIP_* variables count as always.
"""

from __future__ import annotations

import fcntl
import hashlib
import html
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
ENVIRONMENT = CHECKOUT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
VERSIONS = ((3, 11), (3, 13))
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
INDEX = "https://pypi.org/simple"


class SetupError(Exception):
    """The environment could not be made; the message says why and what to do."""


def ensure(*, dev: bool, say: bool = True) -> Path:
    """Makes the environment unless it is there already; returns its interpreter. SetupError."""
    if _is_ready(dev):
        return PYTHON
    if not VERSIONS[0] <= sys.version_info[:2] <= VERSIONS[1]:
        raise SetupError(
            f"Corten needs Python 3.11 to 3.13, and this is {sys.version.split()[0]}:"
            " run it with another interpreter, such as `python3.12 ./try`"
        )
    if not os.access(CHECKOUT, os.W_OK):
        raise SetupError(f"cannot write to {CHECKOUT}: take a checkout of your own, and try again there")
    with (CHECKOUT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not _is_ready(dev):
                _make(dev=dev, say=say)
                _mark(_stamp(dev)).touch()
        finally:
            (CHECKOUT / ".venv.lock").unlink(missing_ok=True)
    return PYTHON


def _stamp(dev: bool) -> str:
    """Names what the environment is made from: another pyproject.toml makes it stale."""
    made_from = (CHECKOUT / "pyproject.toml").read_bytes() + str(CHECKOUT).encode()
    return ("dev-" if dev else "") + hashlib.sha256(made_from).hexdigest()[:16]


def _mark(stamp: str) -> Path:
    """The file that says that all is there; it names the interpreter, for that may be upgraded."""
    return ENVIRONMENT / f"ready-{stamp}-{PYTHON.resolve().name}"


def _is_ready(dev: bool) -> bool:
    stamps = [_stamp(True)] if dev else [_stamp(True), _stamp(False)]
    return PYTHON.exists() and any(_mark(stamp).exists() for stamp in stamps)


def _make(*, dev: bool, say: bool) -> None:
    where = ENVIRONMENT.relative_to(CHECKOUT)
    if say:
        print(f"Setting up Corten in {where} (only this directory is touched) ...", flush=True)
    if not _runs(PYTHON):
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        _call(
            [_interpreter(), "-m", "venv", "--without-pip", str(ENVIRONMENT)],
            "make a virtual environment: on Debian and Ubuntu `apt-get install python3-venv` brings"
            " what is missing",
        )
    with tempfile.TemporaryDirectory(prefix="corten-setup-") as scratch:
        arguments = ["install", "--quiet", "--disable-pip-version-check", "--no-input"]
        arguments += ["--editable", ".[registry]"]
        if dev:
            arguments += ["--group", "dev"]
        _call(
            [*pip(Path(scratch)), *arguments],
            "install Corten's dependencies: is there a way to a Python package index?",
        )


def pip(scratch: Path) -> list[str]:
    """The command of a pip that knows groups: the environment's own, or one from its wheel, put in `scratch`.
    SetupError."""
    if _runs(PYTHON, "-m", "pip", "install", "--help", needs="--group"):
        return [str(PYTHON), "-m", "pip"]
    return [str(PYTHON), str(_pip_wheel(scratch) / "pip")]


def _interpreter() -> str:
    """This interpreter; or the system's, where root's own lies where no other user can run it."""
    if os.geteuid() != 0 or _everybody_reaches(Path(sys.executable).resolve()):
        return sys.executable
    system = "/usr/bin/python3"
    check = f"import sys; sys.exit(not {VERSIONS[0]} <= sys.version_info[:2] <= {VERSIONS[1]})"
    return system if _runs(system, "-c", check) else sys.executable


def _everybody_reaches(path: Path) -> bool:
    return all(directory.stat().st_mode & 0o001 for directory in path.parents)


def _runs(*command: object, needs: str = "") -> bool:
    try:
        done = subprocess.run(
            [str(word) for word in command] + ([] if needs else ["-c", ""]),
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0 and needs in done.stdout


def _call(command: list[str], what: str) -> None:
    environment = dict(os.environ, PIP_ROOT_USER_ACTION=os.environ.get("PIP_ROOT_USER_ACTION", "ignore"))
    if subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode:
        raise SetupError(f"cannot {what}")


def _pip_wheel(directory: Path) -> Path:
    """pip's wheel, from the package index that PIP_INDEX_URL names, or from PyPI."""
    index = (os.environ.get("PIP_INDEX_URL") or INDEX).rstrip("/") + "/pip/"
    page = _fetch(index).decode(errors="replace")
    link = re.search(r'href="([^"]*/' + re.escape(PIP_WHEEL) + r')[#"]', page)
    if link is None:
        raise SetupError(f"cannot find {PIP_WHEEL} at {index}")
    data = _fetch(urllib.parse.urljoin(index, html.unescape(link.group(1))))
    if hashlib.sha256(data).hexdigest() != PIP_SHA256:
        raise SetupError(f"{PIP_WHEEL} from {index} is not what it should be: its SHA-256 differs")
    wheel = directory / PIP_WHEEL
    wheel.write_bytes(data)
    return wheel


def _fetch(url: str) -> bytes:
    try:
        return _get(url, None)
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise SetupError(f"cannot fetch {url}: {error.reason}") from error
    # A host without certificates (no ca-certificates package). The digest above vouches for the only file
    # fetched so; pip brings certificates of its own.
    try:
        return _get(url, ssl._create_unverified_context())
    except urllib.error.URLError as error:
        raise SetupError(f"cannot fetch {url}: {error.reason}") from error


def _get(url: str, context: ssl.SSLContext | None) -> bytes:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "corten-setup", "Accept": "text/html"})
    except ValueError as error:
        raise SetupError(
            f"cannot fetch {url!r}, which is no address: what does PIP_INDEX_URL say?"
        ) from error
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        return bytes(answer.read())
