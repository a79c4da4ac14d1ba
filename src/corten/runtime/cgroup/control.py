"""`Cgroup`: the handle on a cgroup that exists. Engine side, and `corten-runtime`'s pause, update, events."""

from __future__ import annotations

import errno
import os
import time

from corten.errors import CortenError, LimitError, NotFound, Unsupported
from corten.linux import bpf
from corten.oci.runtime_spec import Resources
from corten.runtime.cgroup import apply, update
from corten.runtime.cgroup.compile import device_writes, limit_writes
from corten.runtime.cgroup.layout import Hierarchy, Layout, detect
from corten.runtime.cgroup.stats import Stats, number, read_stats, table, text
from corten.runtime.cgroup.writes import Writes

_FREEZE_TIMEOUT = 10.0
_FREEZE_RETRY = 0.5
_MOVE_ROUNDS = 10


class Cgroup:
    """One cgroup, in all hierarchies in which it has a directory."""

    def __init__(self, name: str, layout: Layout, places: tuple[tuple[Hierarchy, str], ...]) -> None:
        self.name = name
        self.layout = layout
        self._places = places

    @classmethod
    def open(cls, name: str, *, layout: Layout | None = None) -> Cgroup:
        """The cgroup that `compile_cgroup` calls `name`; NotFound when no hierarchy has it."""
        layout = detect() if layout is None else layout
        places = tuple(
            (hierarchy, directory)
            for hierarchy in layout.hierarchies
            if os.path.isdir(directory := hierarchy.directory(name))
        )
        if not places:
            raise NotFound(f"no such cgroup: {name}")
        return cls(name, layout, places)

    @property
    def directories(self) -> tuple[str, ...]:
        """Its directory in each hierarchy."""
        return tuple(directory for _, directory in self._places)

    def plan(self) -> apply.CgroupPlan:
        """A plan without limits: `apply`'s functions then work on this cgroup (`open_entry`, `kill`...)."""
        unified = self._unified()
        freezer = self._by_controller().get("freezer")
        memory = self._by_controller().get("memory")
        events = ""
        if memory is not None:
            events = memory[1] + ("/memory.events" if memory[0].v2 else "/memory.oom_control")
        return (
            self.directories,
            (),
            tuple(directory + "/tasks" for hierarchy, directory in self._places if not hierarchy.v2),
            unified,
            b"",
            (),
            tuple(hierarchy.mountpoint for hierarchy, _ in self._places),
            events,
            freezer[1] + "/freezer.state" if freezer is not None else "",
            (),
        )

    def stats(self) -> Stats:
        """What it has used so far, and its limits."""
        return read_stats(self._by_controller() or {"": self._places[0]})

    def pids(self) -> list[int]:
        """All processes in it and in nested cgroups."""
        return apply.processes(self.plan())

    def oom_count(self) -> int:
        """How many of its processes the OOM killer has killed."""
        return apply.oom_kills(self.plan())

    def freeze(self) -> None:
        """Stop all its processes where they are; returns when every one stands still."""
        place = self._by_controller().get("freezer")
        if place is not None:
            self._freeze_v1(place[1] + "/freezer.state")
        elif self._unified():
            _write(self._unified() + "/cgroup.freeze", "1")
            self._await_frozen(self._unified())
        elif self.layout.of("freezer") is not None or self.layout.unified is not None:
            # It was there when this object was made from what is left of it: it is being removed.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.name)
        else:
            raise Unsupported("cannot pause: this host has no freezer (cgroup v1) and no cgroup v2")

    def thaw(self) -> None:
        """Let them go on."""
        place = self._by_controller().get("freezer")
        if place is not None:
            _write(place[1] + "/freezer.state", "THAWED")
        elif self._unified():
            _write(self._unified() + "/cgroup.freeze", "0")

    @property
    def frozen(self) -> bool:
        place = self._by_controller().get("freezer")
        if place is not None:
            return text(place[1], "freezer.state").strip() != "THAWED"
        return number(self._unified(), "cgroup.freeze") == 1

    def kill(self) -> None:
        """SIGKILL everything in it, also when frozen; returns when nothing is left."""
        apply.kill(self.plan())

    def delete(self) -> None:
        """Remove it in every hierarchy, nested cgroups first. Processes must have ended (see `kill`)."""
        apply.remove(self.plan())

    def update(self, resources: Resources, *, best_effort: bool = False) -> tuple[str, ...]:
        """Change limits, each read back; when one does not take, those already changed are restored.

        Returns warnings. Raises LimitError (nothing has changed then), InvalidArgument.
        """
        writes = Writes(self.layout, self.name, best_effort=best_effort)
        places = self._by_controller()
        merged = update.merged_with_current(resources, places)
        update.check_usage(merged, places)
        limit_writes(writes, merged)
        program = device_writes(writes, resources)
        made = self._make_missing(writes)
        why = self._enable(writes.v2_controllers)
        done: list[tuple[str, tuple[str, ...]]] = []
        try:
            for alternatives in update.ordered(writes.items, places):
                write = update.chosen(alternatives)
                before = update.restoring(write)
                apply.apply_write((write,), why)
                done.append((write[0], before))
            if program:
                bpf.attach_device_program(self._unified(), program)
        except (CortenError, OSError) as error:
            for path, values in reversed(done):
                for value in values:
                    _write(path, value)
            self._unmake(made)
            if isinstance(error, OSError):
                raise LimitError(f"cannot update the cgroup {self.name}: {error}") from error
            raise
        return tuple(writes.warnings)

    def _enable(self, controllers: list[str]) -> str:
        """Hand v2 controllers down that no limit needed before; why one is missing, "" when none is."""
        if not controllers or not self._unified():
            return ""
        plan = list(self.plan())
        plan[apply.CONTROLLERS] = tuple(controllers)
        return apply.enable(tuple(plan))  # type: ignore[arg-type]

    def _make_missing(self, writes: Writes) -> list[Hierarchy]:
        """A limit where the cgroup has no directory yet (cpuset): make it, move everything in."""
        missing = [h for point, h in writes.used.items() if all(h is not place for place, _ in self._places)]
        made: list[Hierarchy] = []
        for hierarchy in missing:
            directory = hierarchy.directory(self.name)
            mine = [item for item in writes.items if item[0][0].startswith(directory + "/")]
            tasks = () if hierarchy.v2 else (directory + "/tasks",)
            unified = directory if hierarchy.v2 else ""
            controllers = tuple(writes.v2_controllers) if hierarchy.v2 else ()
            plan = (
                (directory,),
                tuple(mine),
                tasks,
                unified,
                b"",
                controllers,
                (hierarchy.mountpoint,),
                "",
                "",
                (),
            )
            apply.create(plan)
            self._places = (*self._places, (hierarchy, directory))
            made.append(hierarchy)
            try:
                self._move_all(plan)
            except CortenError:
                self._unmake(made)
                raise
        return made

    def _move_all(self, plan: apply.CgroupPlan) -> None:
        """Into a hierarchy of its own; again for what was forked meanwhile."""
        for _ in range(_MOVE_ROUNDS):
            outside = set(self.pids()) - set(apply.processes(plan))
            if not outside:
                return
            for pid in outside:
                try:
                    apply.join(plan, pid)
                except CortenError:
                    if os.path.exists(f"/proc/{pid}"):
                        raise

    def _unmake(self, made: list[Hierarchy]) -> None:
        for hierarchy in made:
            directory = hierarchy.directory(self.name)
            parent = directory.rpartition("/")[0]
            self._places = tuple(place for place in self._places if place[1] != directory)
            for pid in text(directory, "cgroup.procs").split():
                try:
                    _write(parent + "/cgroup.procs", pid)
                except OSError:  # it has ended
                    pass
            apply.remove_directory(directory)

    def _by_controller(self) -> dict[str, tuple[Hierarchy, str]]:
        return {name: place for place in self._places for name in place[0].controllers}

    def _unified(self) -> str:
        return next((directory for hierarchy, directory in self._places if hierarchy.v2), "")

    def _freeze_v1(self, path: str) -> None:
        """v1's freezer can stay FREEZING when a process forks meanwhile: thaw for a moment, and again."""
        deadline = time.monotonic() + _FREEZE_TIMEOUT
        while time.monotonic() < deadline:
            _write(path, "FROZEN")
            again = time.monotonic() + _FREEZE_RETRY
            pause = 0.0002
            while time.monotonic() < again:
                if text(path.rpartition("/")[0], "freezer.state").strip() == "FROZEN":
                    return
                time.sleep(pause)
                pause = min(pause * 2, 0.02)
            _write(path, "THAWED")
        raise CortenError(f"cannot pause the cgroup {self.name}: {path} stays FREEZING")

    def _await_frozen(self, directory: str) -> None:
        deadline = time.monotonic() + _FREEZE_TIMEOUT
        pause = 0.0002
        while table(directory, "cgroup.events").get("frozen") != 1:
            if time.monotonic() > deadline:
                _write(directory + "/cgroup.freeze", "0")
                raise CortenError(f"cannot pause the cgroup {self.name}: a process does not stop")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
