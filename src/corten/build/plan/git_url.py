"""Git repositories as sources: `https://host/repo.git#ref:dir`, `git@host:repo?ref=…`, `git://…`."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import msgspec

from corten.build.graph import GitSource
from corten.build.instructions.notation import parse_bool
from corten.build.parser.quotation import quoted
from corten.errors import InvalidArgument

_SCHEME = re.compile(r"([a-zA-Z0-9]+)://")
_SSH = re.compile(r"([a-zA-Z0-9\-_]+)@([a-zA-Z0-9\-.]+):([^\n]*?)(?:\?([^\n]*?))?(?:#([^\n]*))?")
_WITHOUT_VALUE = ("submodules", "keep-git-dir")


class GitReference(msgspec.Struct, frozen=True):
    """`remote` is what git is asked for; None: the URL does not say."""

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool | None = None

    def source(self, *, keep_git_dir: bool | None = None, checksum: str = "") -> GitSource:
        """What is fetched. The flags of ADD must not contradict the URL. Raises InvalidArgument."""
        if None not in (self.keep_git_dir, keep_git_dir) and self.keep_git_dir != keep_git_dir:
            raise InvalidArgument("inconsistent keep-git-dir configuration")
        if self.checksum and checksum and self.checksum != checksum:
            raise InvalidArgument(f"checksum mismatch {quoted(checksum)} != {quoted(self.checksum)}")
        return GitSource(
            self.remote,
            self.ref,
            self.subdir,
            keep_git_dir=bool(keep_git_dir or self.keep_git_dir),
            checksum=checksum or self.checksum,
            submodules=self.submodules is not False,
        )


def parse_git_url(text: str, *, known: bool = False) -> GitReference | None:
    """The repository that `text` means; None where it is none. An http(s) URL is one when its path ends in
    `.git`, or when it is `known` to be. Raises InvalidArgument for what is wrong with its parameters."""
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return _from_url(text, scheme[1].lower(), known)
    match = _SSH.fullmatch(text)
    if match is None:
        return None
    user, host, path, query, fragment = match.groups()
    return _with_parameters(f"{user}@{host}:{path}", query or "", fragment or "")


def _from_url(text: str, scheme: str, known: bool) -> GitReference | None:
    if scheme not in ("http", "https", "ssh", "git"):
        return None
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    if scheme.startswith("http") and not (known or unquote(url.path).endswith(".git")):
        return None
    remote = urlunsplit((url.scheme, url.netloc, url.path, "", ""))
    return _with_parameters(remote, url.query, unquote(url.fragment))


def _with_parameters(remote: str, query: str, fragment: str) -> GitReference:
    ref, _, subdir = fragment.partition(":")
    found = {"ref": ref, "subdir": subdir, "checksum": "", "tag": "", "branch": ""}
    flags: dict[str, bool] = {}
    for key, values in parse_qs(query, keep_blank_values=True).items():
        if len(values) > 1:
            raise InvalidArgument(f"query {quoted(key)} has multiple values")
        value = values[0]
        if not value and key not in _WITHOUT_VALUE:
            raise InvalidArgument(f"query {quoted(key)} has no value")
        if key in _WITHOUT_VALUE:
            flags[key] = _flag(key, value)
        elif key in ("ref", "subdir"):
            found[key] = _agreed(key, found[key], value)
        elif key in ("checksum", "commit"):
            found["checksum"] = value
        elif key in ("tag", "branch"):
            found[key] = value
        else:
            raise InvalidArgument(f"unexpected query {quoted(key)}")
    return GitReference(
        remote,
        ref=_reference(found),
        subdir=found["subdir"],
        checksum=found["checksum"],
        keep_git_dir=flags.get("keep-git-dir"),
        submodules=flags.get("submodules"),
    )


def _flag(key: str, value: str) -> bool:
    try:
        return parse_bool(value) if value else True
    except ValueError:
        raise InvalidArgument(f"invalid {key} value: {quoted(value)}") from None


def _agreed(what: str, first: str, second: str) -> str:
    if first and first != second:
        raise InvalidArgument(f"{what} conflicts: {quoted(first)} vs {quoted(second)}")
    return second


def _reference(found: dict[str, str]) -> str:
    """The ref, of what the fragment, `ref`, `tag`, `branch` and `checksum` say."""
    if found["tag"] and found["branch"]:
        raise InvalidArgument("branch conflicts with tag")
    ref = found["ref"]
    for key, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if found[key]:
            name = found[key]
            ref = _agreed("ref", ref, name if name.startswith(prefix) else prefix + name)
    return ref or found["checksum"]
