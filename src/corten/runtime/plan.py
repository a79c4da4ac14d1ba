"""Compile a runtime spec into a `Plan`: every decision is taken here, none between clone and exec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from corten.oci.runtime_spec import Process, Spec
from corten.runtime.operations import Plan

__all__ = ["Directory", "Overlay", "Plan", "compile_exec", "compile_plan"]


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """A root file system that is a directory (an OCI bundle's)."""

    path: str
    readonly: bool = False


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """A root file system that PID 1 mounts in its own mount namespace; `lowers` has the topmost layer first.

    `mountpoint` is any existing directory (nothing is visible there on the host); the parent of `upper` by default.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    volatile: bool = False
    readonly: bool = False
    mountpoint: str | None = None


def compile_plan(
    spec: Spec,
    *,
    root: Directory | Overlay,
    cgroup: Any = None,
    container_id: str,
    bundle: str,
    init: bool = False,
    hold: bool = False,
    no_pivot: bool = False,
    new_keyring: bool = True,
    preserve_fds: int = 0,
) -> Plan:
    """The plan that makes container `container_id` from `spec`; InvalidArgument or Unsupported when it cannot.

    `cgroup` is a `CgroupPlan` (or None: the process stays in its parent's cgroup). With `init`, PID 1 is a small
    init of ours that runs the command as its child, reaps and forwards signals. With `hold`, the process waits for
    the start byte before it runs the command (`execute.spawn`'s `start_fd`).
    """
    raise NotImplementedError


def compile_exec(
    process: Process,
    *,
    container_pid: int,
    spec: Spec,
    cgroup: Any = None,
    preserve_fds: int = 0,
    namespaces: Sequence[str] | None = None,
) -> Plan:
    """The plan of one more process in the running container whose PID 1 is `container_pid`.

    `spec` is the container's (its seccomp filter, labels and id mappings count). A capability set, no_new_privileges
    and rlimits that `process` does not have stay as `process` says: fill them from `spec.process` before the call.
    """
    raise NotImplementedError
