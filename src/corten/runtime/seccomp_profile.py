"""Docker's default system call profile, with its parts that depend on capabilities and architecture."""

from __future__ import annotations

from collections.abc import Collection

from corten.oci.runtime_spec import Seccomp


def default_profile(capabilities: Collection[str], *, machine: str | None = None) -> Seccomp:
    """The profile for a container with the bounding set `capabilities` (`CAP_...`), on `machine` (uname -m)."""
    raise NotImplementedError


def load_profile(text: bytes, capabilities: Collection[str], *, machine: str | None = None) -> Seccomp:
    """A profile file of `--security-opt seccomp=FILE`, in Docker's format (`archMap`, `includes`, `excludes`)."""
    raise NotImplementedError
