"""Images that are made here: of a root file system's tar (`import`), and of a container's changes
(`commit`)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from corten.content import Lease
from corten.image.archive_reader import ByteSource
from corten.image.instructions import apply_changes
from corten.image.model import Commit, Image, Loaded, Progress, Report
from corten.image.registrar import Registrar
from corten.oci.descriptor import Descriptor
from corten.oci.digest import Digest
from corten.oci.image_config import History, ImageConfig, ImageRunConfig, RootFS, format_time
from corten.oci.manifest import OCI_LAYER
from corten.oci.platform import Platform
from corten.oci.reference import Reference
from corten.snapshot.inflate import Inflater
from corten.snapshot.worker_process import Worker

_REPORT_EVERY = 16 << 20


class Creator:
    """Makes images in one registrar's store. After a failure nothing of them is left."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._content = registrar.content

    def import_(
        self,
        stream: ByteSource,
        names: Sequence[Reference],
        *,
        message: str,
        changes: Sequence[str],
        platform: Platform,
        created: int | None,
        report: Report,
    ) -> Loaded:
        """One layer, stored uncompressed, so that its digest is its diff ID."""
        run = apply_changes(ImageRunConfig(), changes)
        with self._discarding(), self._content.lease() as lease:
            layer = self._spool(stream, lease, report)
            moment = format_time(time.time_ns() if created is None else created)
            config = ImageConfig(
                architecture=platform.architecture,
                os=platform.os,
                variant=platform.variant,
                created=moment,
                config=run,
                rootfs=RootFS(diff_ids=(layer.digest,)),
                history=(History(created=moment, comment=message or "Imported from -"),),
            )
            image = self._finish(config, (layer,), names, lease, report, parent="")
        return Loaded(image.id, tuple(name.familiar for name in names))

    def commit(self, commit: Commit, parent: Image | None, names: Sequence[Reference]) -> Image:
        """The upper directory as a layer on top of the parent's; empty ones are layers as well, as in
        Docker."""
        base = parent.config if parent is not None else ImageConfig()
        run = apply_changes(commit.config.run if commit.config is not None else base.run, commit.changes)
        with self._discarding(), self._content.lease() as lease:
            if parent is not None:
                lease.pin(parent.manifest.digest)
                for kept in parent.layers:
                    lease.pin(kept.digest)
            layer = self._pack(commit.upper, lease)
            moment = format_time(time.time_ns())
            step = History(
                created=moment,
                created_by=commit.created_by or None,
                author=commit.author or None,
                comment=commit.comment or None,
            )
            config = msgspec.structs.replace(
                base,
                created=moment,
                author=commit.author or base.author,
                config=run,
                parent=None,
                rootfs=RootFS(diff_ids=(*base.diff_ids, layer.digest)),
                history=(*(base.history or ()), step),
            )
            layers = (*(parent.layers if parent is not None else ()), layer)
            return self._finish(config, layers, names, lease, lambda _: None, parent=commit.parent)

    def _finish(
        self,
        config: ImageConfig,
        layers: Sequence[Descriptor],
        names: Sequence[Reference],
        lease: Lease,
        report: Report,
        *,
        parent: str,
    ) -> Image:
        manifest = self._registrar.add_manifest(self._registrar.add_config(config, lease), layers, lease)
        with (
            self._registrar.snapshotter.session() as session,
            self._registrar.unpacked(manifest, session, report) as plan,
            self._registrar.tables.transaction(),
        ):
            image = self._registrar.record(plan, parent=parent)
            for name in names:
                self._registrar.name(image.id, name, manifest)
        self._registrar.write_index()
        row = self._registrar.tables.image(image.id)
        return self._registrar.image(row) if row is not None else image

    @contextlib.contextmanager
    def _discarding(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._registrar.collect()
            raise

    def _spool(self, stream: ByteSource, lease: Lease, report: Report) -> Descriptor:
        inflater = Inflater(stream.read, what="root file system")
        reported = 0
        with self._content.writer(lease=lease) as ingest:
            while piece := inflater.read():
                ingest.write(piece)
                if ingest.written - reported >= _REPORT_EVERY:
                    reported = ingest.written
                    report(Progress("Importing", "", reported))
            digest = ingest.commit()
            return Descriptor(OCI_LAYER, digest, ingest.written)

    def _pack(self, upper: str, lease: Lease) -> Descriptor:
        path: Path = self._content.new_file()
        try:
            with Worker() as worker:
                packed = worker.call("pack_upper", upper=upper, target=str(path))
            blob = self._content.adopt(path, Digest(packed["digest"]), lease=lease)
        finally:
            path.unlink(missing_ok=True)
        return Descriptor(OCI_LAYER, blob.digest, blob.size)
