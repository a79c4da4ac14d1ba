"""A policy applied to the sources of a build's graph, before anything is looked up or fetched, and before
there are cache keys."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from corten.build.graph import GitSource, HttpSource, LayoutSource, LocalSource
from corten.build.source_policy.evaluation import Named, evaluate
from corten.build.source_policy.model import Policy
from corten.errors import InvalidArgument, Unsupported
from corten.oci.digest import is_digest
from corten.oci.reference import Reference

_IMAGE = "docker-image://"
_GIT = "git://"
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.*)")
_WHOLE = {"http.perm": 8, "http.uid": 10, "http.gid": 10}

FileSource = LocalSource | HttpSource | GitSource | LayoutSource


class SourcePolicy:
    """One build's; without rules, everything stays as it is."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()

    def image(self, reference: str) -> str:
        """The canonical reference of the image that is taken for another. Denied, InvalidArgument."""
        if not self._policy.rules:
            return reference
        found = evaluate(self._policy, Named(_IMAGE + reference)).identifier
        if found == _IMAGE + reference:
            return reference
        if not found.startswith(_IMAGE):
            raise _other_kind(_IMAGE + reference, found)
        return Reference.parse(found.removeprefix(_IMAGE)).canonical

    def source(self, source: FileSource) -> tuple[FileSource, str]:
        """What is taken for any other source, and in words what has changed (empty: nothing). Denied,
        InvalidArgument, Unsupported."""
        if not self._policy.rules:
            return source, ""
        named = named_source(source)
        found = evaluate(self._policy, named)
        if found == named:
            return source, ""
        changed = [] if found.identifier == named.identifier else [found.identifier]
        changed += [f"{key}={value}" for key, value in found.attrs.items() if named.attrs.get(key) != value]
        return _converted(source, named, found), ", ".join(changed)


def named_source(source: FileSource) -> Named:
    """What BuildKit calls a source, and its attributes."""
    if isinstance(source, LocalSource):
        return Named(f"local://{source.name}")
    if isinstance(source, LayoutSource):
        return Named(f"oci-layout://{source.name}@{source.digest}")
    if isinstance(source, HttpSource):
        attrs = {"http.filename": source.filename, "http.checksum": source.checksum}
        return Named(source.url, {key: value for key, value in attrs.items() if value})
    attrs = {"git.fullurl": source.remote}
    if source.keep_git_dir:
        attrs["git.keepgitdir"] = "true"
    if source.checksum:
        attrs["git.checksum"] = source.checksum
    if not source.submodules:
        attrs["git.skipsubmodules"] = "true"
    fragment = source.ref + (f":{source.subdir}" if source.subdir else "")
    return Named(f"{_GIT}{_place(source.remote)}{'#' if fragment else ''}{fragment}", attrs)


def _converted(source: FileSource, named: Named, found: Named) -> FileSource:
    if isinstance(source, HttpSource) and found.identifier.startswith(("http://", "https://")):
        return _http(source, found)
    if isinstance(source, GitSource) and found.identifier.startswith(_GIT):
        return _git(source, named, found)
    raise _other_kind(named.identifier, found.identifier)


def _http(source: HttpSource, found: Named) -> HttpSource:
    checksum = found.attrs.get("http.checksum", "")
    if checksum and not is_digest(checksum):
        raise InvalidArgument(f"the source policy's http.checksum {checksum!r} is no digest")
    numbers = {}
    for key, base in _WHOLE.items():
        if text := found.attrs.get(key, ""):
            try:
                numbers[key] = int(text, base)
            except ValueError:
                raise InvalidArgument(f"the source policy's {key} {text!r} is no number") from None
    return msgspec.structs.replace(
        source,
        url=found.identifier,
        checksum=checksum,
        mode=numbers.get("http.perm", source.mode),
        uid=numbers.get("http.uid", source.uid),
        gid=numbers.get("http.gid", source.gid),
    )


def _git(source: GitSource, named: Named, found: Named) -> GitSource:
    place, _, fragment = found.identifier.removeprefix(_GIT).partition("#")
    ref, _, subdir = fragment.partition(":")
    remote = found.attrs["git.fullurl"]
    if remote == source.remote and place != _place(source.remote):
        scheme = urlsplit(source.remote).scheme if "://" in source.remote else "https"
        remote = f"{scheme}://{place}"
    return msgspec.structs.replace(
        source,
        remote=remote,
        ref=ref,
        subdir=subdir,
        keep_git_dir=found.attrs.get("git.keepgitdir", "") == "true",
        checksum=found.attrs.get("git.checksum", ""),
        submodules=found.attrs.get("git.skipsubmodules", "") != "true",
    )


def _place(remote: str) -> str:
    """Host and path of a remote."""
    if "://" in remote:
        url = urlsplit(remote)
        return f"{url.netloc.rpartition('@')[2]}/{url.path.lstrip('/')}"
    match = _SCP.fullmatch(remote)
    return f"{match[1]}/{match[2].lstrip('/')}" if match else remote


def _other_kind(source: str, found: str) -> Unsupported:
    return Unsupported(f"the source policy converts {source} to {found}, which is a source of another kind")
