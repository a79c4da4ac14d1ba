"""Compose's first version (docker-compose 1.x) builds by docker-py, or by the docker command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.build.conftest import write_context
from tests.system.docker_cli.conftest import Docker

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]

COMPOSE = """\
version: "3.7"
services:
  web:
    image: NAME
    network_mode: none
    build: {context: ., args: {WHO: compose}, target: final, labels: {made: by-compose}}
  bad:
    build: {context: ., dockerfile: Bad}
"""
DOCKERFILE = """\
FROM busybox AS base
ARG WHO
RUN echo "for $WHO" > /who
FROM base AS final
CMD ["cat", "/who"]
"""


@pytest.mark.parametrize("by_command", ["0", "1"], ids=["docker-py", "command"])
def test_compose_builds(docker: Docker, tmp_path: Path, by_command: str) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose 1.x is not installed (PyPI: pip install --no-deps, as it wants PyYAML<6)")
    said = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=True).stdout
    if not said.startswith("1."):
        pytest.skip(f"docker-compose {said.strip()} builds with BuildKit")
    name = docker.name()
    files = {"docker-compose.yml": COMPOSE.replace("NAME", name), "Dockerfile": DOCKERFILE}
    context = write_context(tmp_path, {**files, "Bad": "FROM busybox\nRUN exit 4\n"})

    def compose(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [program, *arguments],
            cwd=context,
            env={**docker.environment, "COMPOSE_DOCKER_CLI_BUILD": by_command, "DOCKER_BUILDKIT": "0"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done
        return done.stdout + done.stderr

    built = compose("build", "--no-cache", "web")
    assert "Step 3/5 : RUN echo" in built and "Successfully built " in built
    assert docker("run", "--rm", "--network", "none", name).out == "for compose\n"
    assert docker("inspect", "--format", "{{.Config.Labels.made}}", name).out == "by-compose\n"
    assert "returned a non-zero code: 4" in compose("build", "bad", code=1)
