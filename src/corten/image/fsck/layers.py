"""Checking layers: each is made again from its blob, and compared with what is in place."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator

from corten.errors import CortenError, NoSpace, NotFound
from corten.image.fsck.problem import Problem
from corten.image.model import Image
from corten.image.registrar import Registrar
from corten.snapshot import Layer
from corten.snapshot.comparison import difference
from corten.snapshot.erofs.mounts import DATA
from corten.snapshot.overlay import OverlaySnapshotter
from corten.snapshot.overlay_session import OverlaySession


class LayerCheck:
    """Every layer once, the lower ones first: those above depend on them."""

    def __init__(
        self,
        registrar: Registrar,
        snapshotter: OverlaySnapshotter,
        found: Callable[[Problem], None],
        *,
        repair: bool,
    ) -> None:
        self._registrar = registrar
        self._snapshotter = snapshotter
        self._found = found
        self._repair = repair
        self.seen: set[str] = set()
        self._bad: set[str] = set()
        self._sessions = contextlib.ExitStack()
        self._by_maker: dict[str, tuple[OverlaySnapshotter, OverlaySession]] = {}

    def __enter__(self) -> LayerCheck:
        return self

    def __exit__(self, *exc: object) -> None:
        self._sessions.close()

    def _session(self, chain_id: str) -> tuple[OverlaySnapshotter, OverlaySession]:
        """For the form that the layer has on disk; one worker process for all of a form."""
        maker = self._snapshotter.maker(chain_id)
        key = f"{maker.operation} {maker.arguments()}"
        if key not in self._by_maker:
            self._by_maker[key] = (maker, self._sessions.enter_context(maker.session()))
        return self._by_maker[key]

    def image(self, image: Image, running: set[str]) -> Iterator[str]:
        """Checks the layers of an image that were not seen yet; their chain IDs. `running` are those that
        containers have mounted."""
        layers = self._registrar.layers(image)
        with self._registrar.pin_chain(image.chain), self._registrar.content.lease() as lease:
            for layer in layers:
                lease.pin(layer.digest)
            if self._registrar.tables.image(image.id) is None:
                return  # removed meanwhile
            for position, layer in enumerate(layers):
                if layer.chain_id in self.seen:
                    continue
                self.seen.add(layer.chain_id)
                self._layer(layer, layers[:position], layer.chain_id in running)
                yield layer.chain_id

    def _layer(self, layer: Layer, below: list[Layer], running: bool) -> None:
        problem = None
        if any(lower.chain_id in self._bad for lower in below):
            self._bad.add(layer.chain_id)
            return  # what is wrong below has been told
        try:
            if not self._snapshotter.contains(layer.chain_id):
                problem = Problem("layer", layer.chain_id, "an image needs it, and it is not there")
                if self._repair:
                    self._snapshotter.prepare([*below, layer])
                    problem.repaired = "made from its blob"
            else:
                problem = self._compare(layer, below, running)
        except CortenError as error:
            if isinstance(error, NoSpace):
                raise
            said = problem.problem + "; " if problem is not None else ""
            problem = Problem(
                "layer", layer.chain_id, f"{said}it cannot be made from its blob: {error.message}"
            )
            problem.remedy = "pull or load its image again"
        if problem is None:
            return
        if not problem.repaired:
            self._bad.add(layer.chain_id)
        self._found(problem)

    def _compare(self, layer: Layer, below: list[Layer], running: bool) -> Problem | None:
        snapshotter = self._snapshotter
        maker, session = self._session(layer.chain_id)
        lowers = snapshotter.lowers([lower.chain_id for lower in below])
        staged = session.remake(layer, lowers)
        try:
            place = snapshotter.directory(layer.chain_id)
            wrong = difference(place, staged.directory, maker.parts) or self._record_problem(
                layer, staged.answer["size"]
            )
            if not wrong:
                return None
            problem = Problem("layer", layer.chain_id, wrong)
            if not self._repair:
                problem.remedy = "corten system fsck --repair makes it again from its blob"
            elif running and "fs" in maker.parts:
                problem.remedy = "a running container has it mounted: stop that first, and repair again"
            else:
                snapshotter.remove(layer.chain_id)
                session.replace(layer, staged)
                problem.repaired = "made again from its blob"
            return problem
        finally:
            session.discard(staged)

    def _record_problem(self, layer: Layer, size: int) -> str:
        record = self._snapshotter.record(layer.chain_id)
        if record.size != size:
            return f"its record says {record.size} bytes instead of {size}"
        if record.diff_id != layer.diff_id:
            return f"its record names the diff ID {record.diff_id}"
        return ""

    def kept(self) -> Iterator[str]:
        """Layers that no image has, and the build cache keeps: their tars against their digests. After all
        images; their chain IDs."""
        with self._registrar.lock:
            unneeded = self._registrar.unneeded_layers()
        for chain_id in self._snapshotter.walk():
            if chain_id not in self.seen and chain_id not in unneeded:
                with self._registrar.pin_chain([chain_id]):
                    self._kept(chain_id)
                yield chain_id

    def _kept(self, chain_id: str) -> None:
        try:
            diff_id = self._snapshotter.record(chain_id).diff_id
            with (self._snapshotter.directory(chain_id) / DATA).open("rb") as tar:
                actual = f"sha256:{hashlib.file_digest(tar, 'sha256').hexdigest()}"
        except (NotFound, FileNotFoundError):
            return  # removed meanwhile, or there is only what was made of a tar
        if not diff_id or actual == diff_id:
            return
        problem = Problem("layer", chain_id, f"the build cache keeps it, and its tar has the digest {actual}")
        if self._repair:
            self._snapshotter.remove(chain_id)
            problem.repaired = "removed: the next build that wants it makes it again"
        else:
            problem.remedy = "corten system fsck --repair removes it, and a build makes it again"
        self._found(problem)

    def orphans(self) -> None:
        """Layers that no image has, and no pull keeps."""
        with self._registrar.lock:
            for chain_id in self._registrar.unneeded_layers():
                problem = Problem("layer", chain_id, "no image needs it")
                if self._repair:
                    self._snapshotter.remove(chain_id)
                    problem.repaired = "removed"
                self._found(problem)
