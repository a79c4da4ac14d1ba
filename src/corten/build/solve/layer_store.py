"""The layers that builds make: where they are, what is known of them, who needs them.

::

    build/layers/<id>/          fs/, or layer.erofs and its parts, and layer.json: as in snapshots/
    build/layers/<id>           once an image has it: a link to ../../snapshots/<chain-id>
    build/layers/.staging/      drafts

A layer is named before anybody knows its digest: that takes its tar, which only an export needs. When it
becomes part of an image, its directory moves to where the image's layers are, in one exchange with the link
that is left behind: no path that a container is just about to mount is ever without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from corten.build.solve.database import CacheDatabase
from corten.build.solve.protocols import Draft, Drafted
from corten.build.solve.result import BuiltLayer, Result
from corten.errors import NotFound, Unsupported
from corten.image.registrar import Registrar
from corten.image.settling import Settler
from corten.linux.process import RENAME_EXCHANGE, renameat2
from corten.oci.descriptor import Descriptor
from corten.oci.digest import chain_ids, hex_of
from corten.snapshot import Layer
from corten.snapshot.image_mount import detached_image
from corten.snapshot.overlay import OverlaySnapshotter
from corten.snapshot.snapshotter import Usage
from corten.snapshot.tree import remove_tree

MOST_LAYERS = 490
"""Of 500 that the kernel takes (OVL_MAX_STACK), some are for what is mounted along."""
_COLUMNS = "id, diff_id, blob, origin, made_by"


class View:
    """A read-only look at a file system, mounted where nobody sees it: `fd` is its root directory."""

    def __init__(self, mount: int) -> None:
        self._mount = mount
        self.fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)

    def close(self) -> None:
        """Ends it; what was opened below it can still be read."""
        os.close(self.fd)
        os.close(self._mount)


class LayerStore:
    """Thread-safe. `snapshotter` is one of the engine's kind, over `<build>/layers`; `images` has those of
    images."""

    def __init__(self, database: CacheDatabase, images: Registrar, snapshotter: OverlaySnapshotter) -> None:
        self._database = database
        self._images = images
        self._own = snapshotter
        self._settler = Settler(snapshotter)
        self._lock = threading.RLock()
        self._pins: Counter[str] = Counter()
        self._empty = snapshotter.staging.parent / ".empty"
        self._empty.mkdir(exist_ok=True, mode=0o755)

    @property
    def root(self) -> Path:
        """The directory of the layers that were made here."""
        return self._own.root

    def close(self) -> None:
        """Lets go of mounts."""
        self._settler.close()
        self._own.close()

    # -- making

    def draft(self) -> Draft:
        """A new one, to be given to `place` or `discard`."""
        return Draft(secrets.token_hex(32), self._own.new_staging())

    def place(self, draft: Draft, made: Drafted, made_by: str) -> BuiltLayer:
        """Makes a layer of a draft: a rename. It is pinned once (see `unpin`), for whoever records it."""
        if (draft.directory / "layer.erofs").exists():
            (draft.directory / "mnt").mkdir(exist_ok=True)
        layer = BuiltLayer(draft.id, made.diff_id, made_by=made_by)
        with self._lock:
            self._pins[layer.id] += 1
        chain_id = _own_name(layer)
        self._own.place(draft.directory, Layer(chain_id, made.diff_id, ""), made.size, made.inodes, [])
        return layer

    def settle_soon(self) -> None:
        """Brings what was placed to the disk, when it is quiet. Until then a power failure takes it back."""
        self._settler.soon()

    def discard(self, draft: Draft) -> None:
        """Throws a draft away. May take as long as it has files."""
        remove_tree(str(draft.directory))

    def note(self, layers: Iterable[BuiltLayer]) -> None:
        """Writes down what a record's chain consists of; part of the caller's transaction."""
        for layer in layers:
            usage = self._own.usage(_own_name(layer)) if layer.is_made_here else Usage(0, 0)
            blob = msgspec.json.encode(layer.blob).decode() if layer.blob is not None else ""
            self._database.all(
                "INSERT INTO layers (id, size, inodes, diff_id, blob, origin, made_by) VALUES (?,?,?,?,?,?,?)"
                " ON CONFLICT (id) DO UPDATE SET origin = CASE WHEN origin = '' THEN excluded.origin"
                " ELSE origin END",
                (layer.id, usage.size, usage.inodes, layer.diff_id, blob, layer.origin, layer.made_by),
            )

    # -- looking

    def contains(self, layer: BuiltLayer) -> bool:
        """Whether it can be mounted now."""
        if layer.is_made_here:
            return self._own.contains(_own_name(layer))
        return self._images.snapshotter.contains(layer.id)

    def lowers(self, layers: Sequence[BuiltLayer]) -> tuple[str, ...]:
        """The directories of a chain (bottom first), topmost first, as overlay's lowerdir wants them.
        NotFound when a layer was not fetched; Unsupported when there are more than an overlay takes."""
        if len(layers) > MOST_LAYERS:
            raise Unsupported(
                f"the file system has {len(layers)} layers, and the kernel's overlay takes {MOST_LAYERS}: "
                "put several instructions into one"
            )
        found: list[str] = []
        for layer in reversed(layers):
            if layer.is_made_here:
                found += self._own.lowers([_own_name(layer)])
            else:
                found += self._images.snapshotter.lowers([layer.id])
        return tuple(found)

    def view(self, result: Result) -> View:
        """Mounts a file system to be looked at; the caller closes it."""
        if not result.layers:
            return View(os.open(self._empty, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        return View(detached_image(self.lowers(result.layers), "corten-build", self._empty))

    def directory(self, layer: BuiltLayer) -> Path:
        """The directory of a layer that was made here: `fs/` or `layer.erofs`, perhaps `layer.tar`."""
        return self._own.directory(_own_name(layer))

    def usage(self, layer: BuiltLayer) -> Usage:
        """What it takes; NotFound."""
        if layer.is_made_here:
            return self._own.usage(_own_name(layer))
        return self._images.snapshotter.usage(layer.id)

    def known(self, ids: Sequence[str]) -> tuple[BuiltLayer, ...]:
        """The layers of a record, by their ids. NotFound when one is not written down."""
        marks = ",".join("?" * len(ids))
        rows = self._database.all(f"SELECT {_COLUMNS} FROM layers WHERE id IN ({marks})", ids)
        found = {str(row[0]): _layer(row) for row in rows}
        if missing := [identity for identity in ids if identity not in found]:
            raise NotFound(f"the build cache does not know layer {missing[0]}")
        return tuple(found[identity] for identity in ids)

    def describe(self, layer: BuiltLayer) -> BuiltLayer:
        """The layer with its diff ID and its blob, as far as they are known."""
        if not layer.is_made_here:
            return layer
        with contextlib.suppress(NotFound):
            (layer,) = self.known([layer.id])
        if layer.blob is not None and not self._images.content.contains(layer.blob.digest):
            layer = msgspec.structs.replace(layer, blob=None)
        return layer

    # -- exporting

    def note_tar(self, layer: BuiltLayer, diff_id: str, blob: Descriptor) -> None:
        """The plain tar of a layer that was made here is in the content store now, pinned by the caller: it
        stays there for as long as the layer does."""
        encoded = msgspec.json.encode(blob).decode()
        self._database.all(
            "UPDATE layers SET diff_id = ?, blob = ? WHERE id = ?", (diff_id, encoded, layer.id)
        )

    def publish(self, layers: Sequence[BuiltLayer]) -> tuple[str, ...]:
        """Makes an image's layers of a whole chain (bottom first), all of whose diff IDs are known: their
        chain IDs, which the caller has pinned (`Registrar.pin_chain`) until the image has its row. What is
        not in place afterwards (a base that was not fetched, a layer that another image has elsewhere) is
        made of its blob, as for any image."""
        chain = chain_ids([layer.diff_id for layer in layers])
        for layer, chain_id in zip(layers, chain, strict=True):
            if layer.is_made_here:
                self._publish(layer, chain_id)
        return chain

    def _publish(self, layer: BuiltLayer, chain_id: str) -> None:
        own = self._own.directory(_own_name(layer))
        with self._lock:
            # A layer that was linked into another chain before (COPY --link) is made again there.
            if self._images.snapshotter.contains(chain_id) or own.is_symlink():
                return
            # First, so that nothing that is already there could be collected.
            self._database.all("UPDATE layers SET chain_id = ? WHERE id = ?", (chain_id, layer.id))
            assert isinstance(self._images.snapshotter, OverlaySnapshotter)
            target = self._images.snapshotter.directory(chain_id)
            self._own.note_digest(_own_name(layer), layer.diff_id)
            with contextlib.suppress(FileNotFoundError):
                target.unlink()  # of a publication that was cut short
            target.symlink_to(os.path.relpath(target, own.parent))
            try:
                renameat2(str(own), str(target), RENAME_EXCHANGE)
            except OSError as error:
                target.unlink()
                if error.errno == errno.EXDEV:
                    return
                # A file system without exchange: for a moment the layer is nowhere.
                own.rename(target)
                own.symlink_to(os.path.relpath(target, own.parent))

    # -- keeping

    def pin(self, layers: Iterable[BuiltLayer]) -> Callable[[], None]:
        """Keeps layers until what is returned is called; chain IDs need not be there yet."""
        pinned = tuple(layers)
        stack = ExitStack()
        stack.enter_context(self._images.pin_chain([layer.id for layer in pinned if not layer.is_made_here]))
        with self._lock:
            self._pins.update(layer.id for layer in pinned)

        def release() -> None:
            self.unpin(pinned)
            stack.close()

        return release

    def unpin(self, layers: Iterable[BuiltLayer]) -> None:
        """Ends one pin of each."""
        with self._lock:
            for layer in layers:
                self._pins[layer.id] -= 1
                if self._pins[layer.id] <= 0:
                    del self._pins[layer.id]

    def is_pinned(self, identity: str) -> bool:
        """Whether a build works with it."""
        return self._pins[identity] > 0

    # -- removing

    def sweep(self) -> None:
        """Removes every layer that neither a record nor a build needs. Blocks for as long as deleting
        takes."""
        with self._lock:
            needed = {
                identity
                for (chain,) in self._database.all("SELECT chain FROM records WHERE chain IS NOT NULL")
                for identity in chain.split()
            }
            known = [str(row[0]) for row in self._database.all("SELECT id FROM layers")]
            gone = [identity for identity in known if identity not in needed and not self._pins[identity]]
            with self._database.transaction():
                for identity in gone:
                    self._database.all("DELETE FROM layers WHERE id = ?", (identity,))
            kept = needed | set(self._pins)
            stray = [name for name in self._own.walk() if hex_of(name) not in kept]
        for name in stray:
            self._own.remove(name)

    def recover(self) -> list[str]:
        """Once at start, before anything is built: removes what a killed engine left half-made; the ids of
        layers that were written down and are not there any more."""
        self._own.recover()
        for entry in self._own.root.iterdir():
            if entry.is_symlink() and not entry.exists():
                entry.unlink()
        there = {hex_of(name) for name in self._own.walk()}
        rows = self._database.all("SELECT id FROM layers")
        return [str(row[0]) for row in rows if ":" not in row[0] and row[0] not in there]


def _layer(row: tuple[str, ...]) -> BuiltLayer:
    name, diff_id, blob, origin, made_by = row
    descriptor = msgspec.json.decode(blob, type=Descriptor) if blob else None
    return BuiltLayer(name, diff_id, descriptor, origin, made_by)


def _own_name(layer: BuiltLayer) -> str:
    """What the snapshotter of layers made here calls it."""
    return f"sha256:{layer.id}"
