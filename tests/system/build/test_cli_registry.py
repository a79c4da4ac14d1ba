"""corten build and a registry that wants a password: bases, pushes, caches with the client's credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.cli.conftest import Corten
from tests.system.registry.conftest import PASSWORD, USER, RegistryServer, private, shared_corten

__all__ = ("private", "shared_corten")

pytestmark = pytest.mark.root


@pytest.fixture
def repository(corten: Corten, private: RegistryServer) -> Iterator[str]:
    """A repository that has busybox as `base`; the client is logged in, and the store does not have it."""
    corten("login", "-u", USER, "--password-stdin", private.host, input=PASSWORD.encode())
    name = f"{private.host}/team"
    corten("tag", "busybox", f"{name}/base")
    corten("push", "-q", f"{name}/base")
    corten("rmi", f"{name}/base")
    yield name
    corten("logout", private.host)
    for image in (f"{name}/base", f"{name}/app"):
        corten("rmi", "-f", image, check=None)
    corten("builder", "prune", "-a", "-f")


def test_base_push_and_cache(corten: Corten, repository: str, tmp_path: Path) -> None:
    files = {"Dockerfile": f"FROM {repository}/base\nCOPY a /a\nRUN cat /a > /b\n", "a": "hello\n"}
    context = write_context(tmp_path, files)
    metadata = tmp_path / "metadata.json"
    app = f"{repository}/app"
    corten(
        *("build", "-t", app, "--push", "--metadata-file", str(metadata)),
        *("--cache-to", f"type=registry,ref={repository}/cache,mode=max", str(context)),
    )
    digest = json.loads(metadata.read_text())["containerimage.digest"]
    corten("rmi", app)
    assert digest in corten("pull", app).stdout
    assert corten("run", "--rm", "--network", "none", app, "cat", "/b").stdout == "hello\n"
    corten("rmi", app)
    corten("builder", "prune", "-a", "-f")
    said = corten(
        *("build", "--progress=plain", "-t", app),
        *("--cache-from", f"type=registry,ref={repository}/cache", str(context)),
    ).stderr
    assert said.count("CACHED") >= 3
    assert corten("run", "--rm", "--network", "none", app, "cat", "/b").stdout == "hello\n"


def test_who_is_nobody_is_told_so(corten: Corten, repository: str, tmp_path: Path) -> None:
    corten("logout", repository.partition("/")[0])
    context = write_context(tmp_path, {"Dockerfile": f"FROM {repository}/base\nRUN true\n"})
    failed = corten("build", "-q", str(context), check=1)
    assert "   1 | >>> FROM" in failed.stderr
    assert "corten login" in failed.stderr.splitlines()[-1]
    (context / "Dockerfile").write_text("FROM busybox\n")
    failed = corten("build", "-q", "--push", "-t", f"{repository}/app", str(context), check=1)
    assert "corten login" in failed.stderr.splitlines()[-1]
