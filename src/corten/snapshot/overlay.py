"""Layers as directories for overlayfs: unpacked in worker processes side by side, renamed into place when
complete.

::

    snapshots/<chain-id>/fs/           the tree, as overlay's lowerdir
    snapshots/<chain-id>/layer.json    its sizes, and the boot in which it was made until it is known to be
    on disk snapshots/.staging/<random>/       being unpacked, or being removed
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from corten.errors import CortenError, NotFound
from corten.linux.syncfs import syncfs
from corten.oci.digest import Digest, hex_of
from corten.snapshot.implied import complete
from corten.snapshot.limits import DEFAULT_LIMITS, Limits
from corten.snapshot.overlay_marks import Marks, probe
from corten.snapshot.overlay_session import OverlaySession
from corten.snapshot.snapshotter import Layer, Progress, Usage
from corten.snapshot.tree import remove_tree


class LayerRecord(msgspec.Struct, omit_defaults=True):
    """layer.json. `unsettled` holds the boot id until the layer is known to have reached the disk."""

    diff_id: str
    size: int
    inodes: int
    notes: list[str] = []
    unsettled: str = ""


class OverlaySnapshotter:
    """The Snapshotter of directories beneath `root`; works everywhere, in user namespaces too."""

    name = "overlay"
    operation = "unpack"
    """The worker's, for one layer."""
    parts: tuple[str, ...] = ("fs",)
    """What a layer of this form has in its directory."""

    def __init__(self, root: Path, *, limits: Limits = DEFAULT_LIMITS, workers: int | None = None) -> None:
        self.root = root
        self.staging = root / ".staging"
        self.staging.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.limits = asdict(limits)
        self.workers = workers or min(os.cpu_count() or 1, 8)
        self.lock = threading.Lock()
        self.busy: dict[str, threading.Event] = {}
        self._marks: Marks | None = None
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    @property
    def marks(self) -> Marks:
        """How deletions are written down in this file system, probed once."""
        if self._marks is None:
            self._marks = probe(str(self.staging))
        return self._marks

    @contextlib.contextmanager
    def session(self, *, fds: Sequence[int] = ()) -> Iterator[OverlaySession]:
        """Worker processes for one image: layers may be staged before their place in a chain is known."""
        session = OverlaySession(self, fds)
        try:
            yield session
        finally:
            session.close()

    def prepare(self, layers: Sequence[Layer], progress: Progress | None = None) -> None:
        """See Snapshotter."""
        if all(self.contains(layer.chain_id) for layer in layers):
            return
        with self.session() as session:
            session.prepare(layers, progress)

    def directory(self, chain_id: str) -> Path:
        """Where this layer is, or would be."""
        return self.root / hex_of(chain_id)

    def contains(self, chain_id: str) -> bool:
        """See Snapshotter."""
        directory = self.directory(chain_id)
        return (directory / "layer.json").exists() and (directory / "fs").is_dir()

    def lowers(self, chain: Sequence[str]) -> tuple[str, ...]:
        """See Snapshotter."""
        missing = [chain_id for chain_id in chain if not self.contains(chain_id)]
        if missing:
            raise NotFound(f"layer {missing[0]} is not unpacked")
        return tuple(str(self.directory(chain_id) / "fs") for chain_id in reversed(chain))

    def usage(self, chain_id: str) -> Usage:
        """See Snapshotter."""
        record = self.record(chain_id)
        return Usage(record.size, record.inodes)

    def record(self, chain_id: str) -> LayerRecord:
        """What layer.json says; NotFound."""
        try:
            return msgspec.json.decode(
                (self.directory(chain_id) / "layer.json").read_bytes(), type=LayerRecord
            )
        except (FileNotFoundError, msgspec.DecodeError):
            raise NotFound(f"layer {chain_id} is not unpacked") from None

    def note_digest(self, chain_id: str, diff_id: str) -> None:
        """Writes down the diff ID of a layer that was made before its tar. NotFound."""
        record = self.record(chain_id)
        record.diff_id = diff_id
        self._write_record(self.directory(chain_id), record)

    def set_aside(self, chain_id: str) -> Path:
        """See Snapshotter."""
        trash = self.new_staging()
        with contextlib.suppress(FileNotFoundError):
            self.directory(chain_id).rename(trash / "removed")
        return trash

    def remove(self, chain_id: str) -> None:
        """See Snapshotter."""
        remove_tree(str(self.set_aside(chain_id)))

    def walk(self) -> Iterable[str]:
        """See Snapshotter."""
        for entry in self.root.iterdir():
            if not entry.name.startswith(".") and (entry / "layer.json").exists():
                yield f"sha256:{entry.name}"

    def close(self) -> None:
        """See Snapshotter: directories need not be held."""

    def recover(self) -> None:
        """See Snapshotter."""
        for leftover in self.staging.iterdir():
            if not leftover.is_dir():
                leftover.unlink(missing_ok=True)
            elif _is_free(leftover):
                remove_tree(str(leftover))
        for entry in list(self.root.iterdir()):
            if entry.name.startswith("."):
                continue
            try:
                record = self.record(f"sha256:{entry.name}")
            except NotFound:
                self.remove(f"sha256:{entry.name}")
                continue
            if record.unsettled not in ("", self._boot):
                # Made shortly before the machine went down: its files may be empty or torn.
                self.remove(f"sha256:{entry.name}")

    def settle(self) -> None:
        """See Snapshotter."""
        fresh = [chain_id for chain_id in self.walk() if self.record(chain_id).unsettled]
        if not fresh:
            return
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(fd)
        finally:
            os.close(fd)
        for chain_id in fresh:
            with contextlib.suppress(NotFound, FileNotFoundError):
                record = self.record(chain_id)
                record.unsettled = ""
                self._write_record(self.directory(chain_id), record)

    def maker(self, chain_id: str) -> OverlaySnapshotter:
        """The snapshotter that makes layers of the form that this one has on disk."""
        return self

    # -- for the session

    def arguments(self) -> dict[str, Any]:
        """What `operation` is told besides."""
        return {"marks": [self.marks.prefix, self.marks.device_whiteouts]}

    def complete(self, staged: Path, layer: Layer, implied: Any, lowers: Sequence[str]) -> None:
        """Gives the layer in `staged` what only those below it tell: `implied` is the worker's answer."""
        complete(str(staged / "fs"), implied, lowers)

    def new_staging(self) -> Path:
        """A new directory beneath .staging."""
        path = self.staging / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        return path

    def place(self, staged: Path, layer: Layer, size: int, inodes: int, notes: list[str]) -> None:
        """Renames a complete layer into place; when another process was first, its layer stays."""
        record = LayerRecord(layer.diff_id, size, inodes, notes, self._boot)
        self._write_record(staged, record)
        staged.chmod(0o711)
        try:
            staged.rename(self.directory(Digest(layer.chain_id)))
        except OSError as error:
            if self.contains(layer.chain_id):
                remove_tree(str(staged))
                return
            # Another snapshotter's form of this layer.
            self.remove(layer.chain_id)
            try:
                staged.rename(self.directory(Digest(layer.chain_id)))
            except OSError:
                raise CortenError(f"cannot put layer {layer.chain_id} into place: {error}") from error

    def _write_record(self, directory: Path, record: LayerRecord) -> None:
        temporary = directory / f".layer.json.{secrets.token_hex(4)}"
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.rename(directory / "layer.json")


def _is_free(path: Path) -> bool:
    """Whether no worker of an engine that died is still at it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
