"""System call filters: the OCI specification's `seccomp` to a classic BPF program, compiled once and kept.

https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#seccomp
"""

from __future__ import annotations

from corten.oci.runtime_spec import Seccomp


def compile_filter(seccomp: Seccomp, *, cache: str | None = None) -> bytes:
    """The BPF program (array of struct sock_filter) for `seccomp`, for this machine.

    Kept in memory and, where `cache` names a directory, on disk, by the hash of what it was made from.
    Raises InvalidArgument for what the specification does not know.
    """
    raise NotImplementedError
