"""`--secret`, `--ssh`, `--output`, `--cache-from`, `--cache-to` and `--build-context`: from what is typed to
the fields of a build request."""

from __future__ import annotations

import os

from corten.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client.jsontext import Json

MAX_SECRET = 500 * 1024  # BuildKit's
_REMOTE = ("docker-image://", "target:", "http://", "https://", "git://", "ssh://", "git@")
_FILES = ("tar", "oci", "docker")


def fields(text: str, flag: str) -> dict[str, str]:
    """`key=value,key="a,b"`: CSV, so a value with a comma is quoted. A bare key has an empty value."""
    found: dict[str, str] = {}
    for field in _split(text, flag):
        key, _equals, value = field.partition("=")
        key = key.strip().lower()
        if not key:
            raise InvalidArgument(f"invalid {flag} {text!r}: write it as KEY=VALUE,…")
        found[key] = value
    return found


def _split(text: str, flag: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    result, current, position = [], "", 0
    quoted = False
    while position < len(text):
        letter = text[position]
        if letter == '"' and quoted and text[position + 1 : position + 2] == '"':
            current += '"'
            position += 1
        elif letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            result.append(current)
            current = ""
        else:
            current += letter
        position += 1
    if quoted:
        raise InvalidArgument(f"invalid {flag} {text!r}: a quotation mark is not closed")
    return [*result, current]


def secret(text: str) -> dict[str, str]:
    """`id=NAME[,src=FILE|,env=VARIABLE]`: without a source, the variable NAME, or else the file NAME."""
    import binascii

    given = fields(text, "--secret")
    kind = given.pop("type", "")
    name = given.pop("id", "")
    path = given.pop("src", "") or given.pop("source", "")
    variable = given.pop("env", "")
    given.pop("source", "")
    if given:
        raise InvalidArgument(f"invalid --secret {text!r}: unexpected key {next(iter(given))!r}")
    if kind not in ("", "file", "env"):
        raise InvalidArgument(f"invalid --secret {text!r}: the type {kind!r} is neither file nor env")
    if kind == "env" and not variable:
        variable, path = path or name, ""
    if not name:
        name = variable or os.path.basename(path)
    if not name:
        raise InvalidArgument(f"invalid --secret {text!r}: it has no id")
    if path and variable:
        raise InvalidArgument(f"invalid --secret {text!r}: it has a file and a variable")
    if not path and not variable:
        variable, path = (name, "") if kind != "file" and name in os.environ else ("", name)
    if variable:
        if variable not in os.environ:
            raise NotFound(f"secret {name!r}: the variable {variable} is not set")
        data = os.environb[os.fsencode(variable)]
    else:
        data = _read(path, name)
    if len(data) > MAX_SECRET:
        raise InvalidArgument(f"secret {name!r} is too big: {len(data)} bytes, at most {MAX_SECRET}")
    return {"id": name, "data": binascii.b2a_base64(data, newline=False).decode()}


def _read(path: str, name: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read(MAX_SECRET + 1)
    except OSError as error:
        raise NotFound(f"secret {name!r}: cannot read {path}: {error.strerror}") from error


def context(text: str) -> dict[str, str]:
    """`NAME=SOURCE`; a directory becomes absolute."""
    name, equals, source = text.partition("=")
    if not equals or not name or not source:
        raise InvalidArgument(f"invalid --build-context {text!r}: write it as NAME=SOURCE")
    if source.startswith("oci-layout://"):
        source = "oci-layout://" + os.path.abspath(source.removeprefix("oci-layout://"))
    elif not is_remote(source):
        path = os.path.abspath(source)
        if not os.path.isdir(path):
            raise InvalidArgument(f"build context {name!r}: {source} is not a directory")
        source = path
    return {"name": name.lower(), "source": source}


def is_remote(source: str) -> bool:
    """Whether a context is somewhere else than in a directory."""
    return source.startswith(_REMOTE) or (source.startswith("github.com/") and not os.path.isdir(source))


def output(text: str) -> Json:
    """A directory, `-`, or `type=…,dest=…,…`; paths become absolute, and what cannot be written is told
    before anything is built."""
    if "=" not in text:
        kind = "tar" if text == "-" else "local"
        given = {"dest": text}
    else:
        given = fields(text, "--output")
        kind = given.pop("type", "")
        if not kind:
            raise InvalidArgument(f"invalid --output {text!r}: it has no type")
    target = given.get("dest", "")
    if kind == "local" and target in ("", "-"):
        raise InvalidArgument(f"invalid --output {text!r}: type=local needs dest=DIRECTORY")
    if kind == "local" and given.get("mode") == "delete" and _holds_current(target):
        raise InvalidArgument(
            f"invalid --output {text!r}: mode=delete would remove the current directory's own files: give a"
            " directory for nothing but the output"
        )
    if kind in ("tar", "oci") and not target:
        given["dest"] = target = "-"
    if target and target != "-":
        given["dest"] = os.path.abspath(os.path.expanduser(target))
        parent = os.path.dirname(given["dest"])
        if kind in _FILES and not os.path.isdir(parent):
            raise InvalidArgument(f"invalid --output {text!r}: there is no directory {parent}")
        if kind == "tar" and os.path.isdir(given["dest"]):
            raise InvalidArgument(f"invalid --output {text!r}: {target} is a directory")
    if target == "-" and os.isatty(1):
        raise InvalidArgument(
            "cowardly refusing to write an archive to a terminal: use --output type=…,dest=FILE, or redirect"
        )
    return {"type": kind, "attributes": given}


def _holds_current(directory: str) -> bool:
    path = os.path.realpath(os.path.expanduser(directory))
    return os.path.commonpath([path, os.path.realpath(os.getcwd())]) == path


def cache(text: str, flag: str) -> Json | None:
    """An image's name alone (a registry's cache), or `type=…,…`; directories become absolute, and what the
    environment has of keys and tokens comes along. None: there is no such cache here. It may have secrets,
    so no message repeats it."""
    if "=" not in text:
        return {"type": "registry", "attributes": {"ref": text}}
    try:
        given = fields(text, flag)
    except InvalidArgument:
        raise InvalidArgument(
            f"invalid {flag}: write it as type=TYPE,KEY=VALUE,…, a field with commas in quotation marks"
        ) from None
    kind = given.pop("type", "")
    if not kind:
        raise InvalidArgument(f"invalid {flag}: it has no type")
    if kind in ("s3", "azblob", "gha"):
        from corten.client import cache_environment

        given = cache_environment.complete(kind, given)
        if not cache_environment.is_active(kind, given):
            return None
    for key in ("src", "dest"):
        if given.get(key):
            given[key] = os.path.abspath(os.path.expanduser(given[key]))
    needed = {("registry", "--cache-from"): "ref", ("registry", "--cache-to"): "ref"}
    needed |= {("local", "--cache-from"): "src", ("local", "--cache-to"): "dest"}
    key = needed.get((kind, flag), "")
    if key and not given.get(key):
        raise InvalidArgument(f"invalid {flag}: type={kind} needs {key}=…")
    return {"type": kind, "attributes": given}
