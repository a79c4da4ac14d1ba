"""The build cache from one machine to another, through a registry and through a directory."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.build.test_export import other
from tests.system.cli.conftest import Corten
from tests.system.registry.conftest import RegistryServer, server

__all__ = ("other", "server")

pytestmark = pytest.mark.root

DOCKERFILE = (
    "FROM busybox AS build\n"
    "RUN --mount=type=cache,id=things,target=/cache"
    " if [ -f /cache/thing ]; then echo warm; else echo cold; date > /cache/thing; fi\n"
    "COPY source /source\n"
    "RUN mkdir /out && tr a-z A-Z < /source > /out/result\n"
    "FROM busybox\nCOPY --from=build /out/result /result\nRUN date > /when\n"
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write_context(tmp_path / "context", {"Dockerfile": DOCKERFILE, "source": "hello\n"})


def steps(corten: Corten, *arguments: str) -> dict[str, bool]:
    """Runs a build: each RUN and COPY, and whether it was cached."""
    text = corten("build", "--progress=plain", *arguments).stderr
    names, cached = {}, {}
    for line in text.splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("[") and ("RUN" in rest or "COPY" in rest):
            names[number] = rest.partition("] ")[2].split()[0] + " " + rest.split()[-1]
        elif rest.startswith(("CACHED", "DONE")) and number in names:
            cached[names[number]] = rest.startswith("CACHED")
    return cached


def test_through_a_registry(corten: Corten, other: Corten, server: RegistryServer, context: Path) -> None:
    cache = f"{server.host}/cache:1"
    corten("build", "-t", "app", "--cache-to", f"type=registry,ref={cache},mounts=true", str(context))
    expected = corten("image", "inspect", "--format", "{{.Id}}", "app").stdout
    done = steps(other, "-t", "app", "--cache-from", cache, str(context))
    assert done and all(done.values())
    assert other("image", "inspect", "--format", "{{.Id}}", "app").stdout == expected
    assert other("run", "--rm", "--network", "none", "app", "cat", "/result").stdout == "HELLO\n"
    # What changed is built, upon layers that come from the cache; and with its cache mounts.
    (context / "Dockerfile").write_text(DOCKERFILE.replace("echo warm", "echo WARM"))
    text = other("build", "--progress=plain", "--cache-from", cache, str(context)).stderr
    assert " WARM\n" in text and " cold\n" not in text


def test_inline(corten: Corten, other: Corten, server: RegistryServer, context: Path) -> None:
    name = f"{server.host}/inline:1"
    corten("build", "-t", name, "--push", "--cache-to", "type=inline", str(context))
    done = steps(other, "-t", "app", "--cache-from", name, str(context))
    assert done and all(done.values())
    assert other("run", "--rm", "--network", "none", "app", "cat", "/result").stdout == "HELLO\n"


def test_through_a_directory(corten: Corten, other: Corten, context: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    to = f"type=local,dest={place},mode=max,mounts=true"
    corten("build", "-t", "app", "--cache-to", to, str(context))
    first = set(place.glob("blobs/sha256/*"))
    (context / "source").write_text("other\n")
    done = steps(other, "--cache-from", f"type=local,src={place}", "--cache-to", to, str(context))
    assert done["RUN fi"] is True and done["COPY /source"] is False
    assert first < set(place.glob("blobs/sha256/*"))
    text = corten("build", "--cache-from", f"type=local,src={tmp_path / 'none'}", str(context)).stderr
    assert "there is no build cache" in text
    failed = corten("build", "--cache-to", "type=ipfs", str(context), check=None)
    assert failed.returncode != 0 and "unknown type 'ipfs'" in failed.stderr


@pytest.mark.parametrize("changed", [False, True], ids=["exported", "built upon"])
def test_a_lost_layer_is_made_again(
    corten: Corten, other: Corten, context: Path, tmp_path: Path, changed: bool
) -> None:
    dockerfile = "FROM busybox\nCOPY source /source\nRUN tr a-z A-Z < /source > /result\nRUN date > /when\n"
    (context / "Dockerfile").write_text(dockerfile)
    place = tmp_path / "cache"
    corten("build", "--cache-to", f"type=local,dest={place},mode=max", str(context))
    manifest = json.loads(_blob(place, json.loads((place / "index.json").read_text())["manifests"][0]))
    layers = [layer for layer in manifest["layers"] if "layer" in layer["mediaType"]]
    assert len(layers) == 3
    (lost,) = [layer for layer in layers if b"HELLO" in gzip.decompress(_blob(place, layer))]
    (place / "blobs/sha256" / lost["digest"].partition(":")[2]).unlink()
    if changed:
        (context / "Dockerfile").write_text(f"{dockerfile}RUN cat /result > /again\n")
    text = other(
        *("build", "--progress=plain", "-t", "app", "--cache-from", f"type=local,src={place}", str(context))
    ).stderr
    assert "has lost" in text and "ERROR" not in text and "CANCELED" not in text
    ended = {}
    for line in text.splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith(("CACHED", "DONE")):
            ended[number] = rest.partition(" ")[0]
    names = dict(
        reversed(line.split(" ", 1)) for line in text.splitlines() if "/4] " in line or "/5] " in line
    )
    last = [ended[number] for name, number in names.items() if "COPY" in name or "tr a-z" in name]
    assert last == ["CACHED", "DONE"]
    shown = other("run", "--rm", "--network", "none", "app", "cat", "/result").stdout
    assert shown == "HELLO\n"


def _blob(place: Path, descriptor: dict[str, str]) -> bytes:
    return (place / "blobs/sha256" / descriptor["digest"].partition(":")[2]).read_bytes()
