"""A plan in the form in which the corpus has BuildKit's: image, operations, warnings."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from corten.build.graph import (
    BindMount,
    CacheMount,
    Copy,
    Exec,
    FileOperation,
    GitSource,
    HttpSource,
    ImageSource,
    LocalSource,
    MakeDirectory,
    Merge,
    Mount,
    Owner,
    SecretMount,
    SshMount,
    TmpfsMount,
    Vertex,
    WriteFile,
)
from corten.build.plan.model import ImageResolver, PlannedImage, ResolvedImage
from corten.build.progress import Warning
from corten.oci.image_config import ImageConfig, ImageRunConfig, RootFS, encode_config
from corten.oci.platform import Platform

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StubImages(ImageResolver):
    """Every image is the same, and has no layers."""

    async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
        run = ImageRunConfig(env=[PATH], cmd=["sh"])
        return ResolvedImage(reference, ImageConfig("amd64", "linux", run, RootFS(diff_ids=())))

    async def resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        raise AssertionError("there are no layouts in the corpus")


def image_form(image: PlannedImage) -> Any:
    """The config as JSON, without times."""
    form = msgspec.json.decode(encode_config(image.config))
    return normal_image(form)


def normal_image(form: Any) -> Any:
    """Without what is written in several ways, and without times."""
    form = dict(form)
    form.pop("created", None)
    form["rootfs"] = form.get("rootfs", {}).get("diff_ids") or []
    form["history"] = [
        {key: value for key, value in entry.items() if key != "created"}
        for entry in form.get("history") or ()
    ]
    form["config"] = {
        key: value for key, value in (form.get("config") or {}).items() if value not in (None, "")
    }
    return form


class Operations(msgspec.Struct):
    """`steps` in their order, inputs before what uses them; `sources` are what they begin with: contexts,
    downloads and here-documents (which are files of their own in the corpus), sorted."""

    steps: list[Any]
    sources: list[Any]


def operations(image: PlannedImage) -> Operations:
    """Ours."""
    found: list[Any] = []
    for vertex in image.target.walk() if image.target is not None else ():
        found += _operation(vertex)
    return _sorted_out(found)


def _sorted_out(found: list[Any]) -> Operations:
    sources = [operation for operation in found if _is_source(operation)]
    steps = [operation for operation in found if not _is_source(operation)]
    unique = {json.dumps(source, sort_keys=True): source for source in sources}
    return Operations(steps, [unique[key] for key in sorted(unique)])


def _is_source(operation: Any) -> bool:
    return "source" in operation or ("file" in operation and "Mkfile" in operation["file"][0])


def _operation(vertex: Vertex) -> list[Any]:
    operation = vertex.operation
    match operation:
        case Exec():
            files = [_mkfile(name, data, mode) for name, data, mode in operation.here_documents]
            return [*files, _exec(operation)]
        case FileOperation():
            return _files(operation)
        case Merge():
            return [{"merge": len(vertex.inputs)}]
        case LocalSource():
            return [{"source": f"local://{operation.name}"}]
        case HttpSource():
            attributes = {"http.filename": operation.filename}
            if operation.checksum:
                attributes["http.checksum"] = operation.checksum
            return [{"source": operation.url, "attrs": attributes}]
        case GitSource():
            return [_git(operation)]
        case ImageSource():
            return [{"source": f"docker-image://{operation.reference}"}]
    raise AssertionError(operation)


def _git(source: GitSource) -> Any:
    host, path = re.fullmatch(
        r"(?:[a-z]+://)?(?:[^/@]*@)?([^/:]+(?::[0-9]+)?)[/:]?(.*)", source.remote
    ).groups()
    fragment = f"#{source.ref}" + (f":{source.subdir}" if source.subdir else "")
    attributes = {"git.fullurl": source.remote}
    if source.keep_git_dir:
        attributes["git.keepgitdir"] = "true"
    if source.checksum:
        attributes["git.checksum"] = source.checksum
    if not source.submodules:
        attributes["git.skipsubmodules"] = "true"
    where = f"git://{host}/{path.strip('/')}"
    return {"source": where + (fragment if fragment != "#" else ""), "attrs": attributes}


def _mkfile(name: str, data: bytes, mode: int) -> Any:
    form = {"path": f"/{name}", "mode": mode}
    if data:
        form["data"] = base64.b64encode(data).decode()
    return {"file": [{"Mkfile": form}]}


def _exec(operation: Exec) -> Any:
    mounts = ["BIND:/ ro=false sel="]
    if operation.here_documents:
        mounts.append("BIND:/dev/pipes/ ro=true sel=/")
    mounts += [
        _mount(mount)
        for mount in operation.mounts
        if not isinstance(mount, SecretMount) or mount.target  # a variable is no mount in the corpus
    ]
    return {
        "exec": list(operation.args),
        "env": list(operation.environment),
        "cwd": operation.directory,
        "user": operation.user,
        "net": {"default": "UNSET"}.get(operation.network, operation.network.upper()),
        "security": operation.security.upper(),
        "mounts": sorted(mounts),
    }


def _mount(mount: Mount) -> str:
    def text(kind: str, target: str, readonly: bool, selector: str) -> str:
        return f"{kind}:{target} ro={str(readonly).lower()} sel={selector if selector != '/' else ''}"

    match mount:
        case BindMount(_, selector, target, readonly):
            return text("BIND", target, readonly, selector)
        case CacheMount():
            return text("CACHE", mount.target, mount.readonly, mount.selector)
        case TmpfsMount(target):
            return text("TMPFS", target, False, "")
        case SecretMount():
            return text("SECRET", mount.target, False, "")
        case SshMount():
            return text("SSH", mount.target, False, "")


def _files(operation: FileOperation) -> list[Any]:
    before: list[Any] = []
    actions: list[Any] = []
    for action in operation.actions:
        match action:
            case Copy():
                actions.append({"Copy": _copy(action)})
            case MakeDirectory():
                actions.append({"Mkdir": {"path": action.path, "mode": action.mode, **_owner(action.owner)}})
            case WriteFile():
                before.append(_mkfile(action.name, action.data, 0o644))
                form = {"src": f"/{action.name}", "dest": action.destination, **_mode(action.mode)}
                actions.append({"Copy": {**form, **_owner(action.owner)}})
    return [*before, {"file": actions}]


def _copy(action: Copy) -> Any:
    form: dict[str, Any] = {
        "src": action.source,
        "dest": action.destination,
        **_mode(action.mode),
        **_owner(action.owner),
    }
    if action.unpack:
        form["attemptUnpackDockerCompatibility"] = True
    for name, values in (
        ("include_patterns", action.include),
        ("exclude_patterns", action.exclude),
        ("required_paths", action.required),
    ):
        if values:
            form[name] = list(values)
    return form


def _mode(mode: str) -> Any:
    if mode and not mode.isdigit():
        return {"mode": -1, "modeStr": mode}
    return {"mode": int(mode, 8) if mode else -1}


def _owner(owner: Owner) -> Any:
    form = {}
    for name, identity in (("user", owner.user), ("group", owner.group)):
        if isinstance(identity, int):
            form[name] = {"User": {"byId": identity} if identity else {}}
        elif identity is not None:
            form[name] = {"User": {"byName": {"name": identity}}}
    return {"owner": form} if form else {}


_COPY_ALWAYS = (
    "allowEmptyWildcard",
    "allowWildcard",
    "createDestPath",
    "dirCopyContents",
    "followSymlink",
    "timestamp",
)


def normal_operations(operations: list[Any] | None) -> Operations:
    """BuildKit's operations without what follows from the rest, or what only it needs: which files of the
    context it has to be sent (`local.followpaths`), flags that every COPY has, times, and how it makes a
    cache directory with an owner."""
    found = [_normal(operation) for operation in operations or ()]
    return _sorted_out([operation for operation in found if not _is_cache_directory(operation)])


def _is_cache_directory(operation: Any) -> bool:
    return "file" in operation and operation["file"][0].get("Mkdir", {}).get("path") == "/cache"


def _normal(operation: Any) -> Any:
    if "file" in operation:
        return {"file": [_normal_action(action) for action in operation["file"]]}
    if "exec" in operation:
        return {
            **operation,
            "mounts": sorted(_normal_mount(m, operation["cwd"]) for m in operation["mounts"]),
        }
    if "source" in operation and operation["source"].startswith("local://"):
        return {"source": operation["source"]}
    if "source" in operation and operation["source"].startswith("git://"):
        # What is left out says how to log in.
        kept = ("git.fullurl", "git.keepgitdir", "git.checksum", "git.skipsubmodules")
        attributes = operation.get("attrs") or {}
        return {**operation, "attrs": {key: attributes[key] for key in kept if key in attributes}}
    return operation


def _normal_mount(mount: str, directory: str) -> str:
    """Secrets with a relative path: BuildKit leaves it to the runtime."""
    kind, _, rest = mount.partition(":")
    if kind == "CACHE":
        return mount.removesuffix("/cache") if mount.endswith(" sel=/cache") else mount
    if kind == "SECRET" and not rest.startswith("/"):
        return f"{kind}:{directory.rstrip('/')}/{rest}"
    return mount


def _normal_action(action: Any) -> Any:
    ((kind, values),) = action.items()
    values = {key: value for key, value in values.items() if key not in (*_COPY_ALWAYS, "makeParents")}
    return {kind: values}


def as_reported(warnings: Iterable[Warning]) -> list[tuple[int, str, str]]:
    """Line, rule and message of each, sorted."""
    return sorted((warning.lines[0], warning.rule, warning.message) for warning in warnings)
