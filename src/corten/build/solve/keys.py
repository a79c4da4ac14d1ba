"""Cache keys: what the result of an operation depends on, as digests.

A vertex's key is made of its operation, the identity of the file system that it changes, and the digests of
the contents that it takes from elsewhere. Nothing of one machine is in it: the same inputs have the same key
everywhere. What is known of a vertex before the contents are is its partial key: when no record has it, no
content can make it a hit.

In no key: proxy variables, limits, addresses of extra hosts, values of secrets, names of cache mounts; and of
what is copied, how it was selected (its names are part of its content's digest).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from corten.build.graph import (
    BindMount,
    CacheMount,
    Copy,
    Exec,
    FileAction,
    FileOperation,
    Limits,
    Mount,
    Operation,
    Vertex,
)
from corten.build.solve.result import BuiltLayer

NOTHING = "scratch"
"""The identity of no file system at all."""


def digest_of(*parts: Any) -> str:
    """`sha256:…` of values that JSON can tell apart."""
    try:
        data = msgspec.json.encode(parts)
    except UnicodeEncodeError:
        # Bytes of a command, or of a pattern, that are no UTF-8 are lone surrogates (PEP 383).
        data = json.dumps(msgspec.to_builtins(parts)).encode()
    return "sha256:" + hashlib.sha256(data).hexdigest()


def vertex_ids(target: Vertex) -> dict[Vertex, str]:
    """What events call `target` and each vertex below it: a digest of its definition."""
    ids: dict[Vertex, str] = {}
    for vertex in target.walk():
        below = [None if item is None else ids[item] for item in vertex.inputs]
        ids[vertex] = digest_of("definition", vertex.operation, below, vertex.epoch)
    return ids


def image_key(layers: Sequence[BuiltLayer]) -> str:
    """The key of an image's file system: that of its topmost chain ID."""
    return digest_of("image", layers[-1].id) if layers else NOTHING


def source_key(operation: Operation, key: str) -> str:
    """The key of a source that says of itself what it has."""
    return digest_of("source", operation, key)


def merge_key(identities: Iterable[str]) -> str:
    """The key of file systems one over the other."""
    return digest_of("merge", [identity for identity in identities if identity != NOTHING])


def partial_key(vertex: Vertex, below: str) -> str:
    """The key of a FileOperation or Exec over the file system `below` (an identity), without the contents
    that it takes from elsewhere."""
    return digest_of("vertex", stripped(vertex.operation), below, vertex.epoch)


def stripped(operation: Operation) -> FileOperation | Exec:
    """A FileOperation or Exec without what is in no key."""
    if isinstance(operation, FileOperation):
        return FileOperation(tuple(_action(action) for action in operation.actions))
    assert isinstance(operation, Exec)
    return _exec(operation)


def full_key(partial: str, contents: Sequence[str]) -> str:
    """A partial key with the digests of the contents."""
    return digest_of("key", partial, contents) if contents else partial


def content_key(identity: str, copy: Copy) -> str:
    """What the digest of a selection is remembered by: the identity of the file system that it is from, and
    how it is selected."""
    bare = msgspec.structs.replace(copy, input=0, destination="/", mode="")
    return digest_of("content", identity, bare)


def _action(action: FileAction) -> FileAction:
    if isinstance(action, Copy):
        return msgspec.structs.replace(
            action, input=0, source="", include=(), exclude=(), required=(), allow_missing=True
        )
    return action


def _exec(operation: Exec) -> Exec:
    return msgspec.structs.replace(
        operation,
        proxy=(),
        limits=Limits(),
        extra_hosts=tuple((name, "") for name, _address in operation.extra_hosts),
        mounts=tuple(_mount(mount) for mount in operation.mounts),
    )


def _mount(mount: Mount) -> Mount:
    if isinstance(mount, BindMount):
        return msgspec.structs.replace(mount, input=0, selector="")
    if isinstance(mount, CacheMount):
        return CacheMount("", mount.target, readonly=mount.readonly)
    return mount
