"""Where everything of one engine lives: the only module that draws the tree.

::

    $CORTEN_ROOT/                       /var/lib/corten, or ~/.local/share/corten
      engine.db                         SQLite, WAL: containers, images, volumes, networks
      content/                          an OCI image layout
      snapshots/<chain-id>/             unpacked layers
      mount-points/<chain-id>/          what an image lacks of the places that containers get mounts at
      containers/<id>/                  upper/ work/ config.json log hosts hostname resolv.conf
      volumes/<name>/_data
      build/                            the build cache: cache.db layers/ cache-mounts/ contexts/ downloads/
                                        git/
      build/history/<id>.json           the record of a build that has ended
      build/running/<id>/               what a RUN that is under way needs
      spare/next/                       the next container's directory
      trash/                            what is being deleted in the background
    $CORTEN_RUN/                        /run/corten, or $XDG_RUNTIME_DIR/corten, or /tmp/corten-<uid>
      engine.sock engine.lock engine.pid stdio.sock
      containers/<id>/                  state.json monitor.sock exit.json
      builds/<id>/                      monitor.sock of a RUN
      trash/                            run directories of what has ended
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corten.errors import Denied
from corten.linux.inode_flags import spread_subdirectories


def refuse_foreign(path: Path) -> None:
    """Denied when another user owns the directory, or everybody may write to it."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise Denied(
            f"the directory {path} belongs to another user: set CORTEN_ROOT and CORTEN_RUN to your own"
        )
    if found.st_mode & stat.S_IWOTH:
        raise Denied(f"everybody may write to the directory {path}: take that right away (chmod o-w {path})")


@dataclass(frozen=True, slots=True)
class Paths:
    """The tree under one data directory (`root`) and one run directory (`run`)."""

    root: Path
    run: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Paths:
        """The directories that CORTEN_ROOT and CORTEN_RUN name, or the defaults of this user."""
        environ = os.environ if environ is None else environ
        uid = os.geteuid()
        if root := environ.get("CORTEN_ROOT"):
            root_path = Path(root)
        elif uid == 0:
            root_path = Path("/var/lib/corten")
        elif data_home := environ.get("XDG_DATA_HOME"):
            root_path = Path(data_home) / "corten"
        else:
            root_path = Path(environ.get("HOME", "~")).expanduser() / ".local/share/corten"
        if run := environ.get("CORTEN_RUN"):
            run_path = Path(run)
        elif uid == 0:
            run_path = Path("/run/corten")
        elif runtime_dir := environ.get("XDG_RUNTIME_DIR"):
            run_path = Path(runtime_dir) / "corten"
        else:
            run_path = Path(f"/tmp/corten-{uid}")
        return cls(root_path.absolute(), run_path.absolute())

    @property
    def database(self) -> Path:
        return self.root / "engine.db"

    @property
    def content(self) -> Path:
        return self.root / "content"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def empty(self) -> Path:
        """A directory that stays empty, once it is made: an overlay has two layers at least."""
        return self.snapshots / ".empty"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def spare_directory(self) -> Path:
        return self.root / "spare"

    @property
    def mount_points(self) -> Path:
        return self.root / "mount-points"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def build(self) -> Path:
        """What belongs to the builder: its cache, layers, contexts. Made with the first build."""
        return self.root / "build"

    @property
    def build_history(self) -> Path:
        return self.build / "history"

    @property
    def build_steps(self) -> Path:
        """A directory for each RUN that is under way."""
        return self.build / "running"

    @property
    def build_runs(self) -> Path:
        """The run directories of these."""
        return self.run / "builds"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def run_trash(self) -> Path:
        return self.run / "trash"

    @property
    def socket(self) -> Path:
        return self.run / "engine.sock"

    @property
    def stdio_socket(self) -> Path:
        return self.run / "stdio.sock"

    @property
    def lock(self) -> Path:
        return self.run / "engine.lock"

    @property
    def pid(self) -> Path:
        return self.run / "engine.pid"

    @property
    def container_runs(self) -> Path:
        return self.run / "containers"

    def container(self, container_id: str) -> Path:
        """The container's data directory: upper, work, log, hosts."""
        return self.containers / container_id

    def container_run(self, container_id: str) -> Path:
        """The container's run directory: monitor.sock, exit.json."""
        return self.container_runs / container_id

    def make(self) -> None:
        """Creates the directories that must exist before anything else.

        Nobody else gets into the data: images and containers hold set-user-id programs and device nodes, and
        an image's directory has a name that anybody can work out (CVE-2021-41091). Into the run directory a
        group may go, to the socket. Denied when it is somebody else's.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.run.mkdir(parents=True, exist_ok=True, mode=0o711)
        for path in (self.root, self.run):
            refuse_foreign(path)
        data = (self.containers, self.snapshots, self.volumes, self.trash)
        for path in (*data, self.container_runs, self.run_trash):
            path.mkdir(exist_ok=True, mode=0o700)
            path.chmod(0o700)
        spread_subdirectories(self.containers)
