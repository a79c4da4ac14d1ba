"""Boot the virtual machine once, let it run a part of the test suite, and read back what it found."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from . import image

LIMIT = 630  # seconds, from switching on to switching off (a host at half its speed took more than 310)
BOOT_LIMIT = 60  # seconds until the guest's first line: a busy host can lose an emulated timer for good
BOOTS = 2
MARK = "guest is up"


class DidNotRun(Exception):
    """The machine came up with no results: the end of its console says why."""


@dataclass(frozen=True)
class Case:
    """One test inside of the machine; `outcome` is passed, failed or skipped."""

    name: str
    outcome: str
    text: str


@dataclass(frozen=True)
class Results:
    cases: tuple[Case, ...]
    kernel: str
    controllers: tuple[str, ...]
    log: str

    def of(self, path: str) -> list[Case]:
        """The cases below `path`, a file or directory of tests."""
        prefix = path.removesuffix(".py").replace("/", ".")
        return [case for case in self.cases if case.name.startswith(prefix)]


def run(paths: list[str]) -> Results:
    """Run pytest on `paths` inside of the machine. Raises image.CannotBuild, DidNotRun."""
    built = image.build()
    with tempfile.TemporaryDirectory(prefix="corten-vm-") as name:
        directory = Path(name)
        checkout, out = directory / "checkout.ext4", directory / "out"
        image.checkout_disk(checkout, paths)
        with out.open("wb") as file:
            file.truncate(16 << 20)
        console = directory / "console"
        disks = [
            "-drive", f"file={built / 'root.ext4'},format=raw,if=virtio,snapshot=on",
            "-drive", f"file={out},format=raw,if=virtio",
            "-drive", f"file={checkout},format=raw,if=virtio,snapshot=on",
        ]  # fmt: skip
        said = _boot(built, console, disks)
        shown = console.read_text(errors="replace") if console.exists() else ""
        try:
            files = _untar(out.read_bytes())
            return _results(files)
        except (tarfile.TarError, KeyError, ElementTree.ParseError) as error:
            log = shown[-3000:]
            raise DidNotRun(
                f"no results from the virtual machine ({error}): {said.strip()}\n{log}"
            ) from error


def _boot(built: Path, console: Path, disks: list[str]) -> str:
    """Run the machine until it switches itself off; what qemu complained of.

    Always emulated: in a machine that is virtual itself, KVM may be offered and yet hang at the first
    instruction.
    """
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
        "-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{console}",
        "-kernel", str(built / "kernel"), "-initrd", str(built / "initrd"),
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check", *disks,
    ]  # fmt: skip
    said = ""
    for _ in range(BOOTS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        begin = time.monotonic()
        try:
            while time.monotonic() - begin < LIMIT:
                try:
                    return said + process.communicate(timeout=2)[1]
                except subprocess.TimeoutExpired:
                    late = time.monotonic() - begin > BOOT_LIMIT
                    if late and MARK not in console.read_text(errors="replace"):
                        break
            said += f"not done after {time.monotonic() - begin:.0f} s; "
            if MARK in console.read_text(errors="replace"):
                break
        finally:
            process.kill()
            process.communicate()
    return said


def _untar(data: bytes) -> dict[str, str]:
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if (content := archive.extractfile(member)) is not None:
                files[member.name.removeprefix("./")] = content.read().decode(errors="replace")
    return files


def _results(files: dict[str, str]) -> Results:
    cases = []
    if "results.xml" not in files:
        raise KeyError(f"results.xml; pytest said: {files.get('log', '')[-1500:]}")
    for element in ElementTree.fromstring(files["results.xml"]).iter("testcase"):
        outcome, text = "passed", ""
        for child in element:
            if child.tag in ("failure", "error"):
                outcome, text = "failed", child.text or child.get("message", "")
            elif child.tag == "skipped":
                outcome, text = "skipped", child.get("message", "")
        cases.append(Case(f"{element.get('classname')}.{element.get('name')}", outcome, text))
    return Results(tuple(cases), files["kernel"].strip(), tuple(files["controllers"].split()), files["log"])
