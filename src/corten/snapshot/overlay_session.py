"""Unpacking the layers of one image side by side: a few worker processes, each driven by a thread of its
own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corten.errors import ArchiveError, CortenError, IntegrityError
from corten.oci.digest import Digest, algorithm_of
from corten.snapshot.growing import Growing
from corten.snapshot.snapshotter import Layer, Part, Progress, Staged, Taken
from corten.snapshot.tree import remove_tree
from corten.snapshot.worker_process import Worker

if TYPE_CHECKING:
    from corten.snapshot.overlay import OverlaySnapshotter


class OverlaySession:
    """Made by `OverlaySnapshotter.session`; what was staged and not prepared is thrown away by `close`."""

    def __init__(self, owner: OverlaySnapshotter, fds: Sequence[int] = ()) -> None:
        self._owner = owner
        self._fds = tuple(fds)
        self._pool = ThreadPoolExecutor(owner.workers, thread_name_prefix="layers")
        self._local = threading.local()
        self._workers: list[Worker] = []
        self._directories: set[Path] = set()
        self._lock = threading.Lock()
        self._staged: dict[str, Future[Staged]] = {}
        self._closed = False

    def stage(self, growing: Growing) -> Future[Staged]:
        """See Session."""
        return self._pool.submit(self._unpack, Layer("", "", growing.path, growing=growing), None)

    def take_in(self, part: Part, target: Path, algorithm: str, progress: Progress | None) -> Future[Taken]:
        """See Session."""
        return self._pool.submit(self._take_in, part, target, algorithm, progress)

    def found(self, digest: str, staged: Future[Staged]) -> None:
        """See Session."""
        self._staged[digest] = staged

    def prepare(self, layers: Sequence[Layer], progress: Progress | None = None) -> None:
        """See Snapshotter.prepare."""
        mine, others = self._claim(layers)
        try:
            futures = {layer.chain_id: self._submit(layer, progress) for layer in mine}
            for position, layer in enumerate(layers):
                if layer.chain_id in futures:
                    self._finish(layer, futures[layer.chain_id].result(), layers[:position])
                    self._release(layer.chain_id)
                    if progress is not None:
                        progress(layer.chain_id, 0, 0)
                elif layer.chain_id in others:
                    others[layer.chain_id].wait()
                    if not self._owner.contains(layer.chain_id):
                        # The other one failed; its error may have been its own (a cancelled request).
                        self.prepare(layers[: position + 1], progress)
        finally:
            for layer in mine:
                self._release(layer.chain_id)

    def remake(self, layer: Layer, lowers: Sequence[str]) -> Staged:
        """Makes a layer that is in place once more, beside it: to compare, or to `replace` it. `lowers` are
        those of the layers below. Thrown away by `discard`, at the latest by `close`."""
        staged = self._unpack(layer, None)
        self._check(layer, staged)
        self._owner.complete(staged.directory, layer, staged.answer["implied"], lowers)
        return staged

    def replace(self, layer: Layer, staged: Staged) -> None:
        """Puts what `remake` made into the place of what is there."""
        self._owner.remove(layer.chain_id)
        self._place(layer, staged)

    def discard(self, staged: Staged) -> None:
        """Throws away what `remake` made."""
        remove_tree(str(staged.directory))
        with self._lock:
            self._directories.discard(staged.directory)

    def close(self) -> None:
        """Ends the workers (in the middle, when there was an error) and removes what is left over."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            if self._directories:
                for worker in self._workers:
                    worker.kill()
        self._pool.shutdown(wait=True)
        for worker in self._workers:
            worker.close()
        for directory in list(self._directories):
            remove_tree(str(directory))
        self._directories.clear()

    def _claim(self, layers: Sequence[Layer]) -> tuple[list[Layer], dict[str, threading.Event]]:
        """All at once under one lock: whoever waits, waits for one who claimed earlier, so that no cycle
        can be."""
        mine: list[Layer] = []
        others: dict[str, threading.Event] = {}
        with self._owner.lock:
            for layer in layers:
                if self._owner.contains(layer.chain_id):
                    continue
                event = self._owner.busy.get(layer.chain_id)
                if event is not None:
                    others[layer.chain_id] = event
                else:
                    self._owner.busy[layer.chain_id] = threading.Event()
                    mine.append(layer)
        return mine, others

    def _release(self, chain_id: str) -> None:
        with self._owner.lock:
            event = self._owner.busy.pop(chain_id, None)
        if event is not None:
            event.set()

    def _submit(self, layer: Layer, progress: Progress | None) -> Future[Staged]:
        staged = self._staged.pop(layer.digest, None)
        if staged is not None and algorithm_of(layer.diff_id) == "sha256":
            return staged
        return self._pool.submit(self._unpack, layer, progress)

    def _unpack(self, layer: Layer, progress: Progress | None) -> Staged:
        """In a thread of the pool: drives its worker."""
        name = layer.chain_id or layer.digest
        # A plain tar's diff ID is its blob's digest, which was verified when it was stored.
        known = layer.verified and layer.digest == layer.diff_id
        algorithm = "" if known else algorithm_of(layer.diff_id) if layer.diff_id else "sha256"
        growing = layer.growing
        blob: dict[str, Any] = {"blob": layer.blob}
        if growing is not None:
            blob = {"blob": growing.path, "final": growing.final, "total": growing.total}
        directory, answer = self._make(name, progress, growing, algorithm=algorithm, **blob)
        return Staged(directory, answer, layer.diff_id if known else answer["diff_id"])

    def _take_in(self, part: Part, target: Path, algorithm: str, progress: Progress | None) -> Taken:
        directory, answer = self._make(
            target.name,
            progress,
            None,
            algorithm="sha256",
            archive=[part.fd, part.offset, part.size],
            keep=str(target),
            keep_algorithm=algorithm,
        )
        staged: Future[Staged] = Future()
        if "refused" in answer:
            staged.set_exception(ArchiveError(answer["refused"]))
        else:
            staged.set_result(Staged(directory, answer, answer["diff_id"]))
        return Taken(Digest(answer["digest"]), staged)

    def _make(
        self, name: str, progress: Progress | None, growing: Growing | None, **request: Any
    ) -> tuple[Path, dict[str, Any]]:
        """Where a worker has made a layer, and what it answered."""
        worker = self._worker()
        directory = self._owner.new_staging()
        with self._lock:
            self._directories.add(directory)
        answer = worker.call(
            self._owner.operation,
            progress=None if progress is None else lambda done, total: progress(name, done, total),
            growing=growing,
            target=str(directory),
            limits=self._owner.limits,
            **request,
            **self._owner.arguments(),
        )
        return directory, answer

    def _worker(self) -> Worker:
        worker: Worker | None = getattr(self._local, "worker", None)
        with self._lock:
            if self._closed:
                raise CortenError("the work on these layers was given up")
            if worker is None:
                worker = self._local.worker = Worker(fds=self._fds)
                self._workers.append(worker)
        return worker

    def _finish(self, layer: Layer, staged: Staged, below: Sequence[Layer]) -> None:
        self._check(layer, staged)
        lowers = self._owner.lowers([lower.chain_id for lower in below])
        self._owner.complete(staged.directory, layer, staged.answer["implied"], lowers)
        self._place(layer, staged)

    def _check(self, layer: Layer, staged: Staged) -> None:
        if staged.diff_id != layer.diff_id:
            raise IntegrityError(
                f"layer {layer.digest or layer.blob} is not what the image says: its content has the diff ID "
                f"{staged.diff_id} instead of {layer.diff_id}"
            )

    def _place(self, layer: Layer, staged: Staged) -> None:
        answer = staged.answer
        self._owner.place(staged.directory, layer, answer["size"], answer["inodes"], answer["notes"])
        with self._lock:
            self._directories.discard(staged.directory)
