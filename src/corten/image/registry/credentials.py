"""Who we are to a registry: Docker's config.json, credential helpers, X-Registry-Auth.

Standard library only: the command line's client loads it too.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from corten.errors import InvalidArgument
from corten.image.registry import credential_helper

DOCKER_HUB = "docker.io"
DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""Under which name Docker's tools keep the credentials of docker.io."""


@dataclass(frozen=True, slots=True)
class Basic:
    """User name and password."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """An OAuth2 refresh token (`identitytoken` in config.json)."""

    token: str
    username: str = ""


@dataclass(frozen=True, slots=True)
class RegistryToken:
    """A bearer token to be sent as it is (`registrytoken`)."""

    token: str


Credential = Basic | IdentityToken | RegistryToken


def decode_registry_auth(header: str) -> tuple[Credential | None, str]:
    """X-Registry-Auth (base64url JSON): the credential and its serveraddress. InvalidArgument."""
    if not header:
        return None, ""
    try:
        padded = header.strip() + "=" * (-len(header.strip()) % 4)
        document = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, binascii.Error) as error:
        raise InvalidArgument("cannot read X-Registry-Auth: expected base64url of a JSON object") from error
    if not isinstance(document, dict):
        raise InvalidArgument("cannot read X-Registry-Auth: expected base64url of a JSON object")
    return _credential(document), str(document.get("serveraddress") or "")


def encode_registry_auth(credential: Credential | None, server: str = "") -> str:
    """The value of X-Registry-Auth."""
    document = _document(credential) if credential is not None else {}
    if isinstance(credential, Basic):
        document = {"username": credential.username, "password": credential.password}
    if server:
        document["serveraddress"] = server
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


class Credentials:
    """Docker's config.json: beneath DOCKER_CONFIG or ~/.docker; read besides it, when it knows nothing of a
    registry: $REGISTRY_AUTH_FILE and $XDG_RUNTIME_DIR/containers/auth.json (podman's and skopeo's)."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path if path is not None else docker_config()
        self._others = _podman_files() if path is None else []

    def lookup(self, host: str) -> Credential | None:
        """For `Reference.domain` (`docker.io`, `localhost:5000`): credHelpers, credsStore, auths. May run a
        helper: call it in a thread."""
        for path in (self._path, *self._others):
            config = _read(path)
            for name in _names(host):
                helper = _helper(config, name)
                if helper:
                    stored = credential_helper.get(helper, name)
                    if stored is not None:
                        username, secret = stored
                        return IdentityToken(secret) if username == "<token>" else Basic(username, secret)
            found = _from_auths(_mapping(config, "auths"), host)
            if found is not None:
                return found
        return None

    def store(self, host: str, credential: Credential) -> str:
        """Saves after a login, in the helper or in the file (0600, atomic); returns where."""
        config = _read(self._path)
        key = _key(host)
        helper = _helper(config, key)
        auths = config.setdefault("auths", {})
        if helper:
            username, secret = _pair(credential)
            credential_helper.store(helper, key, username, secret)
            auths[key] = {}
            _write(self._path, config)
            return f"the credential helper {helper!r}"
        auths[key] = _document(credential)
        _write(self._path, config)
        return str(self._path)

    def erase(self, host: str) -> bool:
        """Forgets after a logout; False when nothing was known."""
        config = _read(self._path)
        known = False
        auths = _mapping(config, "auths")
        for name in _names(host):
            helper = _helper(config, name)
            if helper:
                known = credential_helper.erase(helper, name) or known
        for stored in [stored for stored in auths if _host_of(stored) == _host_of(_key(host))]:
            del auths[stored]
            known = True
        if known:
            _write(self._path, config)
        return known


def docker_config() -> Path:
    """Where Docker's config.json is."""
    directory = os.environ.get("DOCKER_CONFIG")
    return (Path(directory) if directory else Path("~/.docker").expanduser()) / "config.json"


def _podman_files() -> list[Path]:
    files = []
    if explicit := os.environ.get("REGISTRY_AUTH_FILE"):
        files.append(Path(explicit))
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        files.append(Path(runtime) / "containers/auth.json")
    return files


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes() or b"{}")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except ValueError as error:
        raise InvalidArgument(f"cannot read {path}: it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"cannot read {path}: expected a JSON object")
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = path.resolve()  # a link to a file elsewhere stays one
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            json.dump(document, file, indent="\t")
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mapping(config: dict[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def _helper(config: dict[str, Any], host: str) -> str:
    helper = _mapping(config, "credHelpers").get(host) or config.get("credsStore") or ""
    return helper if isinstance(helper, str) else ""


def _key(host: str) -> str:
    return DOCKER_HUB_KEY if _host_of(host) == DOCKER_HUB else host


def _names(host: str) -> tuple[str, ...]:
    return (DOCKER_HUB_KEY, DOCKER_HUB) if _host_of(host) == DOCKER_HUB else (host,)


def _host_of(name: str) -> str:
    """`registry.example:5000` of `https://registry.example:5000/v1/`, as old tools wrote it."""
    host = urlsplit(name).netloc if "://" in name else name.partition("/")[0]
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _from_auths(auths: dict[str, Any], host: str) -> Credential | None:
    wanted = _host_of(host)
    for name in (_key(host), *auths):
        entry = auths.get(name)
        if isinstance(entry, dict) and _host_of(name) == wanted:
            found = _credential(entry)
            if found is not None:
                return found
    return None


def _credential(entry: dict[str, Any]) -> Credential | None:
    def text(name: str) -> str:
        value = entry.get(name)
        return value if isinstance(value, str) else ""

    username, password = text("username"), text("password")
    if encoded := text("auth"):
        try:
            username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (ValueError, binascii.Error) as error:
            raise InvalidArgument("cannot read a registry's credentials: `auth` is not base64") from error
        password = password.rstrip("\0")
    if token := text("identitytoken"):
        return IdentityToken(token, username)
    if token := text("registrytoken"):
        return RegistryToken(token)
    if username == "<token>":
        return IdentityToken(password)
    return Basic(username, password) if username or password else None


def _document(credential: Credential) -> dict[str, Any]:
    if isinstance(credential, IdentityToken):
        auth = base64.b64encode(f"{credential.username}:".encode()).decode()
        return {"auth": auth, "identitytoken": credential.token}
    if isinstance(credential, RegistryToken):
        return {"registrytoken": credential.token}
    return {"auth": base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()}


def _pair(credential: Credential) -> tuple[str, str]:
    """What a credential helper stores."""
    if isinstance(credential, Basic):
        return credential.username, credential.password
    return "<token>", credential.token
