"""The build cache through S3, Azure Blob Storage and GitHub's cache service, by the corten command."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("obstore")

from tests.actions_cache_server import MAIN, ActionsServer, actions_server
from tests.cache_servers import azure_server
from tests.registry_stores import S3Server, s3_server
from tests.system.build.conftest import write_context
from tests.system.build.test_export import other
from tests.system.build.test_export_cache import DOCKERFILE, steps
from tests.system.cli.conftest import Corten

__all__ = ("other",)

pytestmark = pytest.mark.root

Place = tuple[str, dict[str, str]]
"""What is typed, and what the environment has."""


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    yield from s3_server(tmp_path)


@pytest.fixture
def s3_place(s3: S3Server) -> Place:
    options = s3.options
    text = f"type=s3,bucket=images,endpoint_url={options['endpoint']},use_path_style=true"
    environment = {
        "AWS_REGION": options["region"],
        "AWS_ACCESS_KEY_ID": options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": options["secret_access_key"],
    }
    return f"{text},prefix={secrets.token_hex(4)}/", environment


@pytest.fixture
def azblob_place(tmp_path: Path) -> Iterator[Place]:
    for server in azure_server(tmp_path):
        text = ",".join(f"{key}={value}" for key, value in server.attributes.items())
        yield f"type=azblob,{text}", {}


@pytest.fixture
def actions() -> Iterator[ActionsServer]:
    yield from actions_server()


@pytest.fixture
def gha_place(actions: ActionsServer) -> Place:
    environment = {
        "ACTIONS_RUNTIME_TOKEN": actions.token((MAIN, 3)),
        "ACTIONS_RESULTS_URL": f"{actions.url}/",
        "ACTIONS_CACHE_SERVICE_V2": "true",
    }
    return "type=gha,scope=app", environment


@pytest.mark.parametrize("kind", ["s3", "azblob", "gha"])
def test_through(
    corten: Corten, other: Corten, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    place, environment = request.getfixturevalue(f"{kind}_place")
    context = write_context(tmp_path / "context", {"Dockerfile": DOCKERFILE, "source": "hello\n"})
    for command in (corten, other):
        for name, value in environment.items():
            command.environment[name] = value
    try:
        to = f"{place},mode=max,mounts=true"
        told = corten("build", "--progress=plain", "-t", "app", "--cache-to", to, str(context)).stderr
        expected = corten("image", "inspect", "--format", "{{.Id}}", "app").stdout
        done = steps(other, "-t", "app", "--cache-from", place, "--cache-to", to, str(context))
        assert done and all(done.values())
        assert other("image", "inspect", "--format", "{{.Id}}", "app").stdout == expected
        assert other("run", "--rm", "--network", "none", "app", "cat", "/result").stdout == "HELLO\n"
        # What changed is built, upon layers that come from the cache; and with its cache mounts.
        (context / "Dockerfile").write_text(DOCKERFILE.replace("echo warm", "echo WARM"))
        text = other("build", "--progress=plain", "--cache-from", place, str(context)).stderr
        assert " WARM\n" in text and " cold\n" not in text
        # Whatever was told or logged has no secrets in it.
        values = [value for key, value in environment.items() if "TOKEN" in key or "SECRET" in key]
        values += [item.partition("=")[2] for item in place.split(",") if item.startswith("secret")]
        logs = "".join(command.paths.run.joinpath("engine.log").read_text() for command in (corten, other))
        assert values and not any(value in told + text + logs for value in values)
    finally:
        for name in environment:
            corten.environment.pop(name, None)


def test_what_is_refused(corten: Corten, s3: S3Server, s3_place: Place, tmp_path: Path) -> None:
    place, environment = s3_place
    context = write_context(tmp_path / "context", {"Dockerfile": "FROM busybox\nRUN echo a > /a\n"})
    wrong = "wrongwrongwrong"
    key = f"access_key_id={environment['AWS_ACCESS_KEY_ID']},secret_access_key={wrong}"
    with_key = f"{place},region=us-east-1,{key}"
    done = corten("build", "--cache-from", with_key, "--cache-to", with_key, str(context), check=None)
    assert done.returncode != 0 and "cannot " in done.stderr and wrong not in done.stderr
    done = corten("build", "--cache-to", f"{with_key},ignore-error=true", str(context))
    assert "the build cache was not exported: cannot" in done.stderr and wrong not in done.stderr
    done = corten("build", "--cache-to", f"region=r,{key}", str(context), check=None)
    assert done.returncode != 0 and "it has no type" in done.stderr and wrong not in done.stderr
    done = corten("build", "--cache-to", "type=gha", str(context))
    assert "WARNING: --cache-to type=gha is left out" in done.stderr
    s3.stop()
    done = corten("build", "--cache-from", with_key, str(context))
    assert "is not used: cannot read" in done.stderr
