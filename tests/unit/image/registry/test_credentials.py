"""Docker's config.json, credential helpers, X-Registry-Auth."""

import base64
import json
import os
from pathlib import Path

import pytest

from corten.errors import Denied, InvalidArgument, Unavailable
from corten.image.registry.credentials import (
    Basic,
    Credentials,
    IdentityToken,
    RegistryToken,
    decode_registry_auth,
    encode_registry_auth,
)

HELPER = """#!/bin/sh
# Keeps one file per server, named by its checksum, in $STORE.
read -r input
case "$1" in
store)
    server=$(echo "$input" | sed 's/.*"ServerURL": "\\([^"]*\\)".*/\\1/')
    echo "$input" > "$STORE/$(echo "$server" | cksum | cut -d' ' -f1)" ;;
get) cat "$STORE/$(echo "$input" | cksum | cut -d' ' -f1)" 2>/dev/null ||
    { echo "credentials not found in native keychain"; exit 1; } ;;
erase) rm "$STORE/$(echo "$input" | cksum | cut -d' ' -f1)" 2>/dev/null ||
    { echo "credentials not found in native keychain"; exit 1; } ;;
esac
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    directory = tmp_path / "bin"
    directory.mkdir()
    (tmp_path / "kept").mkdir()
    program = directory / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("STORE", str(tmp_path / "kept"))
    return "test"


def of(tmp_path: Path, document: object) -> Credentials:
    (tmp_path / "config.json").write_text(json.dumps(document))
    return Credentials(tmp_path / "config.json")


def test_store_lookup_erase(tmp_path: Path) -> None:
    known = Credentials(tmp_path / "docker/config.json")
    assert known.lookup("docker.io") is None and not known.erase("docker.io")
    known.store("docker.io", Basic("user", "pass:word"))
    known.store("localhost:5000", IdentityToken("token", "me"))
    file = tmp_path / "docker/config.json"
    assert file.stat().st_mode & 0o777 == 0o600
    document = json.loads(file.read_text())
    assert sorted(document["auths"]) == ["https://index.docker.io/v1/", "localhost:5000"]
    assert known.lookup("docker.io") == Basic("user", "pass:word")
    assert known.lookup("localhost:5000") == IdentityToken("token", "me")
    assert known.lookup("localhost") is None
    assert known.erase("docker.io") and known.lookup("docker.io") is None
    assert known.lookup("localhost:5000") is not None
    assert [path.name for path in file.parent.iterdir()] == ["config.json"]


def test_old_names_of_a_registry(tmp_path: Path) -> None:
    auth = base64.b64encode(b"a:b").decode()
    known = of(
        tmp_path, {"auths": {"https://registry.example:5000/v1/": {"auth": auth}}, "other": {"kept": 1}}
    )
    assert known.lookup("registry.example:5000") == Basic("a", "b")
    known.store("registry.example:5000", Basic("c", "d"))
    assert known.lookup("registry.example:5000") == Basic("c", "d")
    assert known.erase("registry.example:5000")
    assert json.loads((tmp_path / "config.json").read_text()) == {"auths": {}, "other": {"kept": 1}}


@pytest.mark.parametrize(
    "configured", [{"credsStore": "test"}, {"credHelpers": {"registry.example": "test"}}]
)
def test_helpers(tmp_path: Path, helper: str, configured: dict[str, object]) -> None:
    known = of(tmp_path, configured)
    assert known.lookup("registry.example") is None
    assert "credential helper 'test'" in known.store("registry.example", Basic("user", "secret"))
    assert "secret" not in (tmp_path / "config.json").read_text()
    assert known.lookup("registry.example") == Basic("user", "secret")
    known.store("registry.example", IdentityToken("refresh"))
    assert known.lookup("registry.example") == IdentityToken("refresh")
    assert known.erase("registry.example")
    assert known.lookup("registry.example") is None


def test_broken_helpers(tmp_path: Path, helper: str) -> None:
    with pytest.raises(Unavailable, match="docker-credential-missing is not installed"):
        of(tmp_path, {"credsStore": "missing"}).lookup("registry.example")
    with pytest.raises(InvalidArgument, match="invalid credential helper"):
        of(tmp_path, {"credsStore": "../../bin/sh"}).lookup("registry.example")
    program = tmp_path / "bin/docker-credential-test"
    program.write_text("#!/bin/sh\necho the keychain is locked >&2; exit 2")
    with pytest.raises(Denied, match="failed: the keychain is locked"):
        of(tmp_path, {"credsStore": "test"}).lookup("registry.example")
    program.write_text("#!/bin/sh\necho '[]'")
    with pytest.raises(Denied, match="did not answer with credentials"):
        of(tmp_path, {"credsStore": "test"}).lookup("registry.example")


def test_broken_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidArgument, match="it is not JSON"):
        Credentials(tmp_path / "config.json").lookup("docker.io")
    with pytest.raises(InvalidArgument, match="`auth` is not base64"):
        of(tmp_path, {"auths": {"docker.io": {"auth": "*"}}}).lookup("docker.io")
    assert of(tmp_path, {"auths": [], "credHelpers": 1}).lookup("docker.io") is None


@pytest.mark.parametrize(
    "credential", [Basic("user", "pass"), IdentityToken("refresh"), RegistryToken("bearer"), None]
)
def test_registry_auth_header(credential: Basic | IdentityToken | RegistryToken | None) -> None:
    header = encode_registry_auth(credential, "registry.example")
    assert decode_registry_auth(header) == (credential, "registry.example")
    assert decode_registry_auth(header.rstrip("="))[0] == credential


def test_registry_auth_header_of_docker() -> None:
    assert decode_registry_auth("") == (None, "")
    assert decode_registry_auth("e30=") == (None, "")
    for bad in ("*", "W10=", "bm8="):
        with pytest.raises(InvalidArgument, match="X-Registry-Auth"):
            decode_registry_auth(bad)
