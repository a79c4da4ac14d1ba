"""The checks of a store, one stage after another. All of them block: call them in a thread.

Work goes on meanwhile: what is checked is held by leases, and something that a pull is just making is no
problem. A layer is checked by making it again from its blob and comparing the two, which proves more than any
checksum beside it; one layer at a time, so the disk needs room for the largest.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from corten.errors import CortenError, IntegrityError, NotFound
from corten.image.fsck.layers import LayerCheck
from corten.image.fsck.needed import Need, needed
from corten.image.fsck.problem import ContainerUse, Problem, Step, Tell
from corten.image.registrar import Registrar
from corten.image.store import ImageStore
from corten.image.tables import ImageRow
from corten.oci.descriptor import Descriptor
from corten.oci.digest import algorithm_of, chain_ids, is_digest
from corten.oci.image_config import decode_config
from corten.snapshot.overlay import OverlaySnapshotter
from corten.snapshot.tree import remove_tree

_PIECE = 1 << 20
STALE_SECONDS = 3600.0
"""What nobody has touched for so long, in a place for work in progress, is left over."""


class Checker:
    """Checks one store. `repair` mends what can be mended without a registry; see `damaged` for the rest."""

    def __init__(
        self,
        store: ImageStore,
        snapshotter: OverlaySnapshotter,
        tell: Tell,
        *,
        repair: bool = False,
        stale_seconds: float = STALE_SECONDS,
    ) -> None:
        self._registrar: Registrar = store.registrar
        self._content = store.content
        self._snapshotter = snapshotter
        self._tell = tell
        self._repair = repair
        self._stale = stale_seconds
        self._bad_rows: set[str] = set()
        self.checked = 0

    # -- blobs

    def blobs(self) -> list[tuple[Problem, Need | None]]:
        """Hashes every blob, and looks for those that are needed and not there. The problems are not told
        yet: a registry may have what is missing."""
        with self._content.lease() as lease:
            found = []
            needs = needed(self._registrar)
            present = list(self._content.walk())
            for blob in present:
                lease.pin(blob.digest)
            for number, blob in enumerate(present, 1):
                wrong = self._hash(blob.digest)
                self._step("blobs", blob.digest, number, len(present))
                if wrong:
                    need = needs.get(blob.digest)
                    found.append((Problem("blob", blob.digest, wrong), need))
        # What is needed now, and is not there: a name may have come and gone meanwhile.
        with self._registrar.lock:
            for digest, need in needed(self._registrar).items():
                if not need.optional and not self._content.contains(digest):
                    users = ", ".join(sorted(need.users))
                    problem = Problem("blob", digest, f"it is missing, and {users} needs it")
                    found.append((problem, need))
        return found

    def _hash(self, digest: str) -> str:
        try:
            fd = self._content.open(digest)
        except NotFound:
            return ""  # removed meanwhile
        total = hashlib.new(algorithm_of(digest))
        try:
            while piece := os.read(fd, _PIECE):
                total.update(piece)
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        finally:
            os.close(fd)
        actual = f"{algorithm_of(digest)}:{total.hexdigest()}"
        return "" if actual == digest else f"its content has the digest {actual}"

    def mend_blob(self, problem: Problem, need: Need | None) -> bool:
        """What can be done here: an image's config stands in the database; what no image needs can go."""
        if need is None:
            user = self.only_user(problem.subject)
            if self._content.delete(problem.subject):
                problem.repaired = f"{user}: it was removed"
                return True
            return False
        row = self._registrar.tables.image(problem.subject)
        if row is None:
            return False
        try:
            self._content.add(row.config, expected=need.descriptor.digest)
        except IntegrityError:
            return False
        problem.repaired = "written again from the database"
        return True

    def only_user(self, digest: str) -> str:
        """Why a blob that no image needs can go."""
        if digest in self._registrar.kept_by_others():
            return "only the build cache needs it, and a build that wants it makes or fetches it again"
        return "nothing needs it"

    # -- images, names, containers

    def references(self, containers: Sequence[ContainerUse]) -> None:
        """Rows against documents, names and containers against rows, index.json against names."""
        rows = {row.id: row for row in self._registrar.tables.images()}
        for row in rows.values():
            self.checked += 1
            problem = self._row(row)
            if problem is not None:
                if not problem.repaired:
                    self._bad_rows.add(row.id)
                self._found(problem)
        self._index()
        for name in (*self._registrar.tables.tags(), *self._registrar.tables.digests()):
            self.checked += 1
            if name.image and self._registrar.tables.image(name.image) is None:
                self._lost_name(name.repository, name.mark, name.image)
        for use in containers:
            self.checked += 1
            if self._registrar.tables.image(use.image_id) is None and use.image_id not in rows:
                self._found(
                    Problem(
                        "container",
                        use.id,
                        f"its image {use.image_id} is not there",
                        remedy="pull or load that image again, or remove the container: corten rm "
                        + use.id[:12],
                    )
                )
        for line in self._registrar.tables.damages():
            self._found(
                Problem("database", "engine.db", line, remedy="restore engine.db, or load the images anew")
            )

    def _row(self, row: ImageRow) -> Problem | None:
        remedy = "remove the image and pull or load it again"
        try:
            algorithm = algorithm_of(row.id)
            actual = f"{algorithm}:{hashlib.new(algorithm, row.config).hexdigest()}"
            if actual != row.id:
                return Problem(
                    "image", row.id, f"the config in its row has the digest {actual}", remedy=remedy
                )
            diff_ids = decode_config(row.config).diff_ids
            msgspec.json.decode(row.manifest, type=Descriptor)
            layers = msgspec.json.decode(row.layers, type=tuple[Descriptor, ...])
        except (CortenError, msgspec.MsgspecError) as error:
            return Problem("image", row.id, f"its row is not readable: {error}", remedy=remedy)
        if len(layers) != len(diff_ids):
            what = "its row and its config disagree on the number of layers"
            return Problem("image", row.id, what, remedy=remedy)
        chain = chain_ids(diff_ids)
        if tuple(row.chain.split()) == chain:
            return None
        what = "the chain of layers in its row is not that of its config"
        problem = Problem("image", row.id, what, remedy="corten system fsck --repair works it out again")
        if self._repair:
            self._registrar.tables.set_chain(row.id, " ".join(chain))
            problem.repaired = "worked out again"
        return problem

    def _lost_name(self, repository: str, mark: str, image: str) -> None:
        separator = "@" if is_digest(mark) else ":"
        problem = Problem(
            "name", f"{repository}{separator}{mark}", f"it names the image {image}, which is gone"
        )
        if self._repair:
            tables = self._registrar.tables
            (tables.delete_digest if separator == "@" else tables.delete_tag)(repository, mark)
            self._registrar.write_index()
            problem.repaired = "the name was removed"
        self._found(problem)

    def _index(self) -> None:
        with self._registrar.lock:
            try:
                same = self._content.read_index() == self._registrar.index()
                wrong = "" if same else "it does not list the tags of this store"
            except (OSError, msgspec.MsgspecError) as error:
                wrong = f"it is not readable: {error}"
            if not wrong:
                return
            problem = Problem("index", "index.json", wrong)
            if self._repair:
                self._registrar.write_index()
                problem.repaired = "written again"
        self._found(problem)

    # -- layers

    def layers(self, containers: Sequence[ContainerUse]) -> None:
        """Every layer of every image, against its blob; layers that no image has. After `references`."""
        running = {chain_id for use in containers if use.running for chain_id in use.chain}
        rows = [row for row in self._registrar.tables.images() if row.id not in self._bad_rows]
        images = [self._registrar.image(row) for row in rows]
        total = len({chain_id for image in images for chain_id in image.chain})
        with LayerCheck(self._registrar, self._snapshotter, self._found, repair=self._repair) as check:
            for image in images:
                for done in check.image(image, running):
                    self._step("layers", done, len(check.seen), total)
            if not self._bad_rows:
                for done in check.kept():
                    self._step("layers", done, len(check.seen), total)
        if not self._bad_rows:
            check.orphans()

    # -- leftovers

    def leftovers(self, places: Sequence[Path]) -> None:
        """What stands in the places for work in progress (and in `places`: the trash) and is nobody's."""
        oldest = time.time() - self._stale
        for place in (self._content.root / "ingest", self._snapshotter.staging, *places):
            for entry in sorted(place.iterdir()) if place.is_dir() else ():
                if entry.suffix == ".partial":
                    continue  # a download that will be resumed; kept for a week
                try:
                    fresh = entry.lstat().st_mtime > oldest
                except FileNotFoundError:
                    continue
                if not fresh:
                    self._leftover(entry)
        for algorithm in (self._content.root / "blobs").iterdir():
            for entry in algorithm.iterdir():
                if not is_digest(f"{algorithm.name}:{entry.name}"):
                    self._leftover(entry)
        for entry in self._snapshotter.root.iterdir():
            named = is_digest(f"sha256:{entry.name}")
            if not entry.name.startswith(".") and not (named and (entry / "layer.json").exists()):
                self._leftover(entry)

    def _leftover(self, entry: Path) -> None:
        problem = Problem("leftover", str(entry), "it belongs to nothing")
        if self._repair:
            remove_tree(str(entry))
            problem.repaired = "removed"
        self._found(problem)

    # -- telling

    def _step(self, stage: str, subject: str, done: int, total: int) -> None:
        self.checked += 1
        self._tell(Step(stage, subject, done, total))

    def _found(self, problem: Problem) -> None:
        self._tell(problem)
