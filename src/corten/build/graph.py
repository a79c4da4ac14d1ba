"""The operations of a build and how they hang together: what `plan` makes of a Dockerfile and `solve`
runs.

A graph of operations, not of lines. Every vertex yields one file system: layers, the bottom first. An
operation that changes a file system has it as its first input and yields it with one more layer on top.
Nothing here knows how an operation is run, and nothing here is looked up: names, variables and paths have
been worked out by the plan.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from corten.oci.platform import Platform


class ImageSource(msgspec.Struct, frozen=True, tag="image"):
    """The file system of an image. `reference` is canonical and has the digest of the manifest that the
    plan resolved (`docker.io/library/busybox:latest@sha256:…`); layers are fetched only when an operation
    needs them."""

    reference: str
    platform: Platform


class LayoutSource(msgspec.Struct, frozen=True, tag="oci-layout"):
    """The file system of an image in an OCI layout of the client (`--build-context
    n=oci-layout://DIR@sha256:…`)."""

    name: str
    digest: str
    platform: Platform


class LocalSource(msgspec.Struct, frozen=True, tag="local"):
    """A directory of the client: `name` is `context`, or that of a named context. `ignore` holds the
    lines of its .dockerignore, `!` lines among them; what they exclude does not exist."""

    name: str
    ignore: tuple[str, ...] = ()


class HttpSource(msgspec.Struct, frozen=True, tag="http"):
    """One file, `/<filename>`, downloaded from `url`; with `checksum`, anything else is an error."""

    url: str
    filename: str
    checksum: str = ""
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


class GitSource(msgspec.Struct, frozen=True, tag="git"):
    """The tree of `subdir` of a repository at `ref` (branch, tag, commit; empty: HEAD), with its
    submodules. `checksum` is a commit's hash, or a prefix of one, that must be what was found."""

    remote: str
    ref: str = ""
    subdir: str = ""
    keep_git_dir: bool = False
    checksum: str = ""
    submodules: bool = True


class Owner(msgspec.Struct, frozen=True):
    """Names are looked up in /etc/passwd and /etc/group of the file system that is written to; None: not
    given. A name without `group` brings its primary group, a number the group of the same number."""

    user: str | int | None = None
    group: str | int | None = None


class Copy(msgspec.Struct, frozen=True, tag="copy"):
    """Copies `source` (a path with wildcards in input `input`) to `destination` (absolute; a trailing
    slash means a directory). Docker's rules: a directory's contents are copied, not itself; parents are
    made.

    `input` counts the vertex's inputs. `unpack`: what is a tar archive is unpacked, all else copied (ADD).
    `include` and `exclude` are patterns of .dockerignore's kind, relative to `source`; `parents` (COPY
    --parents): `source` is the pivot directory, and `include` what is taken from it, with the directories
    on the way. `required` are paths that must exist, in the input. `mode` is octal digits, or chmod(1)'s
    symbolic form. `allow_missing`: a wildcard that matches nothing is no error.
    """

    input: int
    source: str
    destination: str
    owner: Owner = Owner()
    mode: str = ""
    unpack: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    parents: bool = False
    allow_missing: bool = True
    follow_links: bool = True
    contents_of_directory: bool = True


class MakeDirectory(msgspec.Struct, frozen=True, tag="mkdir"):
    """WORKDIR: the directory and its parents, where they are missing (nothing happens to what is there)."""

    path: str
    mode: int = 0o755
    owner: Owner = Owner()


class WriteFile(msgspec.Struct, frozen=True, tag="mkfile"):
    """A here-document of COPY or ADD: the file `destination` (or, where that ends in a slash or is a
    directory, `destination/name`) with these bytes."""

    destination: str
    name: str
    data: bytes
    mode: str = ""
    owner: Owner = Owner()


FileAction = Copy | MakeDirectory | WriteFile


class FileOperation(msgspec.Struct, frozen=True, tag="file"):
    """Files copied and made: one layer over input 0. For COPY --link input 0 is scratch, and a Merge puts the
    layer over what it belongs to, so that it does not depend on it."""

    actions: tuple[FileAction, ...]


class BindMount(msgspec.Struct, frozen=True, tag="bind"):
    """`selector` of input `input` (an index, 0 never) at `target`; what is written is thrown away."""

    input: int
    selector: str
    target: str
    readonly: bool = True


class CacheMount(msgspec.Struct, frozen=True, tag="cache"):
    """A directory that outlives builds. `id` is its name; `sharing` is shared, private or locked. It
    begins as `selector` of input `input`, or empty (None)."""

    id: str
    target: str
    sharing: str = "shared"
    readonly: bool = False
    input: int | None = None
    selector: str = ""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class TmpfsMount(msgspec.Struct, frozen=True, tag="tmpfs"):
    """`size` in bytes; 0: no limit of its own."""

    target: str
    size: int = 0


class SecretMount(msgspec.Struct, frozen=True, tag="secret"):
    """The client's secret `id` as the file `target` (empty: none) and the variable `environment` (empty:
    none). It is part of no layer, history, log or cache key."""

    id: str
    target: str = ""
    environment: str = ""
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class SshMount(msgspec.Struct, frozen=True, tag="ssh"):
    """The client's agent `id` as a socket at `target`; SSH_AUTH_SOCK says where."""

    id: str
    target: str
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


class Ulimit(msgspec.Struct, frozen=True):
    """`--ulimit nofile=1024:2048`."""

    name: str
    soft: int
    hard: int


class Limits(msgspec.Struct, frozen=True):
    """What the build allows each RUN (no part of a cache key). Bytes, microseconds; 0: no limit.
    `cpuset_*` are lists of cgroup's form."""

    memory: int = 0
    memory_swap: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    shm_size: int = 0
    cgroup_parent: str = ""
    ulimits: tuple[Ulimit, ...] = ()


class Exec(msgspec.Struct, frozen=True, tag="exec"):
    """RUN: a process in a container whose root file system is input 0. `network` is default, none or
    host; `security` is sandbox or insecure. `devices` are CDI names, and whether each must be there. `proxy`
    holds the predefined proxy variables, in upper and in lower case: they reach the process, but not the
    cache key. `here_documents` are files (name, contents, mode) at /dev/pipes/, as RUN <<EOF uses them."""

    args: tuple[str, ...]
    environment: tuple[str, ...]
    directory: str
    user: str = ""
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    extra_hosts: tuple[tuple[str, str], ...] = ()
    devices: tuple[tuple[str, bool], ...] = ()
    proxy: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    here_documents: tuple[tuple[str, bytes, int], ...] = ()


class Merge(msgspec.Struct, frozen=True, tag="merge"):
    """The layers of all inputs, one over the other (COPY --link)."""


Source = ImageSource | LayoutSource | LocalSource | HttpSource | GitSource
Operation = Source | FileOperation | Exec | Merge


class Vertex(msgspec.Struct, frozen=True, eq=False):
    """An operation and what it works on; compared by identity. `inputs[0]` of a FileOperation or Exec is
    the file system that it changes: None for scratch. `name` is what the progress shows (`[build 2/5] RUN
    make`), `stage` the stage's name or number; `lines` are (first, last), from 1, of the instruction in
    the Dockerfile. `ignore_cache`: run it again (--no-cache, --no-cache-filter). `epoch` (seconds) is
    what the times of the layer's files become; None: they stay."""

    operation: Operation
    inputs: tuple[Vertex | None, ...] = ()
    name: str = ""
    stage: str = ""
    lines: tuple[int, int] = (0, 0)
    ignore_cache: bool = False
    epoch: int | None = None

    def walk(self) -> Iterator[Vertex]:
        """This vertex and all below it, each once, inputs before what uses them; without recursion."""
        done: set[int] = set()
        pending: list[tuple[Vertex, bool]] = [(self, False)]
        while pending:
            vertex, ready = pending.pop()
            if id(vertex) in done:
                continue
            if ready:
                done.add(id(vertex))
                yield vertex
                continue
            pending.append((vertex, True))
            pending += [(below, False) for below in reversed(vertex.inputs) if below is not None]
