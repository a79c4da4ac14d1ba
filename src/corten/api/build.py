"""Builds: what a client of Corten's own asks for, and how the stream of events ends.

`POST /corten/build` has the request as the first line of its body, as JSON. For a context that is an upload
the archive follows behind that line. The answer is one JSON object a line: the events of
`corten.build.progress`, and at the end a BuildResult or a BuildFailure.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from corten.api.message import Message


class ContextDirectory(msgspec.Struct, frozen=True, tag="directory"):
    """A directory of this host, read in place. `path` is absolute."""

    path: str


class ContextUpload(msgspec.Struct, frozen=True, tag="upload"):
    """A tar archive, plain or compressed, that follows the request. `is_directory`: of a directory of the
    client's, whose times mean nothing."""

    is_directory: bool = False


class ContextRemote(msgspec.Struct, frozen=True, tag="remote"):
    """A git repository, or an http(s) URL of a tar archive or of a Dockerfile alone."""

    url: str


class ContextEmpty(msgspec.Struct, frozen=True, tag="empty"):
    """No files at all: the Dockerfile is in the request."""


Context = ContextDirectory | ContextUpload | ContextRemote | ContextEmpty


class NamedContext(msgspec.Struct, frozen=True):
    """`--build-context name=source`: an absolute path, `docker-image://`, `oci-layout://` (an absolute
    path), `target:`, or the URL of a git repository or an archive."""

    name: str
    source: str


class Secret(msgspec.Struct, frozen=True):
    """`--secret`: base64 in JSON. It is never shown, logged or stored."""

    id: str
    data: bytes

    def __repr__(self) -> str:
        return f"Secret(id={self.id!r})"


class SshAgent(msgspec.Struct, frozen=True):
    """`--ssh`: the socket (an absolute path on this host) of an agent."""

    id: str
    socket: str


class Attributes(msgspec.Struct, frozen=True):
    """A `type` and what else such a flag says: --output, --cache-from, --cache-to. Paths are absolute. An
    output's `dest` is the client's (see FileOffer), `-` its standard output; those of caches are on the
    engine's host."""

    type: str
    attributes: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Attributes(type={self.type!r})"  # some are secrets


class HostEntry(msgspec.Struct, frozen=True):
    """`--add-host name:address`; the address may be `host-gateway`."""

    name: str
    address: str


class BuildUlimit(msgspec.Struct, frozen=True):
    """`--ulimit nofile=1024:2048`."""

    name: str
    soft: int
    hard: int


class BuildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What each RUN may use. Bytes, microseconds; 0: no limit."""

    memory: int = 0
    memory_swap: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    shm_size: int = 0
    cgroup_parent: str = ""
    ulimits: list[BuildUlimit] = []


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One build. `id` is the client's choice, to cancel it by (`POST /build/cancel?id=`).

    `dockerfile` is a path in the context, or an absolute one on this host (only beside a ContextDirectory);
    empty: `Dockerfile`. With `dockerfile_text` it is only the name that is shown. `ignore_text` replaces the
    .dockerignore.
    `build_args` have values: what the command line takes from the environment is looked up there.
    `no_cache_filter` are names of stages. `pull`: ask the registry for newer bases. `outputs` empty: the
    image store. `jobs` 0: as many as the host has processors. `source_epoch` is SOURCE_DATE_EPOCH of the
    client's environment, in seconds. `source_policy` is a source policy of BuildKit, as JSON. `call` is
    `build`, `check`, `outline`, `targets` or `describe`.
    `registry_auth` is a value of X-Registry-Auth, for all registries; None: the client is asked (see
    CredentialQuery). `security` are docker's --security-opt, `isolation` its --isolation (only `default`).
    `debug_shell`: a failed step waits for a shell (see ShellOffer).
    """

    id: str = ""
    context: Context = ContextEmpty()
    dockerfile: str = ""
    dockerfile_text: bytes | None = None
    ignore_text: bytes | None = None
    named_contexts: list[NamedContext] = []
    target: str = ""
    platforms: list[str] = []
    tags: list[str] = []
    build_args: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: list[str] = []
    secrets: list[Secret] = []
    ssh: list[SshAgent] = []
    allow: list[str] = []
    network: str = ""
    hosts: list[HostEntry] = []
    limits: BuildLimits = BuildLimits()
    no_cache: bool = False
    no_cache_filter: list[str] = []
    pull: bool = False
    cache_from: list[Attributes] = []
    cache_to: list[Attributes] = []
    outputs: list[Attributes] = []
    jobs: int = 0
    explain: bool = False
    debug_shell: bool = False
    call: Literal["build", "check", "outline", "targets", "describe"] = "build"
    source_epoch: int | None = None
    source_policy: bytes | None = None
    security: list[str] = []
    isolation: str = ""
    registry_auth: str | None = None
    insecure_registries: bool = False

    def __repr__(self) -> str:
        return f"BuildRequest(context={self.context!r}, tags={self.tags!r}, target={self.target!r})"


class PlannedStep(msgspec.Struct, frozen=True):
    """An instruction of a stage that is built. `layer`: a vertex with these lines makes (or is) its file
    system; else only the image's configuration changes."""

    text: str
    lines: tuple[int, int] = (0, 0)
    layer: bool = False


class BuildPlanned(msgspec.Struct, frozen=True, tag="plan", tag_field="type"):
    """What will be done: the instructions in order, and how many vertices the graph has."""

    steps: list[PlannedStep] = []
    vertices: int = 0


class CredentialQuery(msgspec.Struct, frozen=True, tag="credential", tag_field="type"):
    """The build needs to know who the client is to a registry (`docker.io`), and waits for
    `POST /corten/build/{id}/credential?domain=` with a header X-Registry-Auth, which may be empty."""

    id: str
    domain: str


class FileOffer(msgspec.Struct, frozen=True, tag="file", tag_field="type"):
    """Something of an output is for the client to write: `GET /corten/build/{id}/files/{index}` are the bytes
    of the file `destination` (`-`: standard output), or with `unpack` a tar for that directory; with
    `delete` what else is there goes. The build goes on when all of it was read."""

    id: str
    index: int
    destination: str
    unpack: bool = False
    delete: bool = False


class ShellOffer(msgspec.Struct, frozen=True, tag="shell", tag_field="type"):
    """A step failed, and the build waits: `POST /corten/build/{id}/shell` opens a shell in the state before
    it. The build ends when that shell has ended, by `DELETE /corten/build/{id}/shell`, or with the client."""

    id: str
    name: str = ""


class BuildAnswer(msgspec.Struct, frozen=True, tag="answer", tag_field="type"):
    """What a `call` other than `build` found out: the text for a person, and the same as JSON."""

    text: str
    value: Any = None
    failed: bool = False


class BuildResult(msgspec.Struct, frozen=True, kw_only=True, tag="result", tag_field="type"):
    """A build that succeeded. `image_id` is the config's digest (of the first platform), `digest` that of
    the manifest or index; both are empty where no image was made. `metadata` is what --metadata-file
    writes."""

    image_id: str = ""
    digest: str = ""
    names: list[str] = []
    metadata: dict[str, Any] = {}


class SourceLine(msgspec.Struct, frozen=True):
    """A line of the Dockerfile; `marked`: it belongs to what failed."""

    number: int
    text: str
    marked: bool = False


class BuildFailure(msgspec.Struct, frozen=True, kw_only=True, tag="failure", tag_field="type"):
    """A build that failed: `message` is one sentence. Where an instruction is to blame, `file` and `source`
    show it, `column` (from 1; 0: none) is where the caret goes in the line `caret_line` (0: in the first
    that is marked), and `step` and `log` are the step's name and the last it wrote. `exit_code` is what
    the command exits with, `error` the class of `corten.errors`."""

    message: str
    error: str = "CortenError"
    file: str = ""
    source: list[SourceLine] = []
    column: int = 0
    caret_line: int = 0
    width: int = 1
    step: str = ""
    log: list[str] = []
    exit_code: int = 1


class BuildPruned(Message, kw_only=True):
    """POST /build/prune."""

    caches_deleted: list[str] | None = None
    space_reclaimed: int = 0


class BuildCacheItem(Message, kw_only=True):
    """An entry of BuildCache in GET /system/df. `type` is internal, frontend, source.local,
    source.git.checkout, exec.cachemount or regular; times are RFC 3339."""

    id: str = msgspec.field(name="ID")
    parent: str | msgspec.UnsetType = msgspec.UNSET
    parents: list[str] | None = None
    type: str = "regular"
    description: str = ""
    in_use: bool = False
    shared: bool = False
    size: int = 0
    created_at: str = ""
    last_used_at: str | None = None
    usage_count: int = 0
