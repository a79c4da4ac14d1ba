"""corten build --source-policy-file: what a build may take from elsewhere, and what it gets instead."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.system.build.conftest import write_context
from tests.system.cli.conftest import Corten

pytestmark = pytest.mark.root


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server of one file, `f`."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "f").write_text("served\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def rules(path: Path, *found: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"version": 1, "rules": found}))
    return path


def convert(selected: str, **updates: Any) -> dict[str, Any]:
    return {"action": "CONVERT", "selector": {"identifier": selected}, "updates": updates}


def test_deny_pin_and_checksum(corten: Corten, web: str, tmp_path: Path) -> None:
    first = write_context(tmp_path / "old", {"Dockerfile": "FROM scratch\nCOPY Dockerfile /old\n"})
    metadata = tmp_path / "metadata.json"
    corten("build", "-t", "base:1", "--metadata-file", str(metadata), str(first))
    digest = json.loads(metadata.read_text())["containerimage.digest"]
    corten("tag", "base:1", "base:old")
    newer = write_context(tmp_path / "new", {"Dockerfile": "FROM scratch\nCOPY Dockerfile /new\n"})
    corten("build", "-t", "base:1", str(newer))
    image = "docker-image://docker.io/library/base:1"
    context = write_context(
        tmp_path / "c", {"Dockerfile": f"FROM base:1\nADD {web}/f /f\nCOPY --from=busybox /etc/passwd /p\n"}
    )
    out = tmp_path / "out"

    def build(policy: Path) -> Any:
        return corten(
            *("build", "--progress", "plain", "--explain", "--source-policy-file", str(policy)),
            *("-o", str(out), str(context)),
            check=None,
        )

    pin = convert(image, identifier=f"{image}@{digest}")
    right, wrong = (f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (b"served\n", b"other\n"))
    done = build(rules(tmp_path / "p1", pin, convert(f"{web}/*", attrs={"http.checksum": right})))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["f", "old", "p"]
    assert f"FROM docker.io/library/base:1@{digest}" in done.stderr
    assert f"(source policy: http.checksum={right})" in done.stderr

    done = build(rules(tmp_path / "p2", pin, convert(f"{web}/*", attrs={"http.checksum": wrong})))
    assert done.returncode == 1
    assert f"not {wrong} as its checksum says" in done.stderr

    for identifier, source in (
        ("docker-image://*busybox*", "docker-image://docker.io/library/busybox:latest"),
        ("http://*", f"{web}/f"),
        ("local://*", "local://context"),
        (f"{image}@{digest}", f"{image}@{digest}"),
    ):
        if identifier == "local://*":
            (context / "Dockerfile").write_text("FROM base:1\nCOPY Dockerfile /\n")
        else:
            (context / "Dockerfile").write_text(f"FROM base:old\nADD {web}/f /f\nCOPY --from=busybox / /b\n")
        denied = {"action": "DENY", "selector": {"identifier": identifier.replace(":1@", "*@")}}
        done = build(rules(tmp_path / "p3", denied))
        assert done.returncode == 1
        source = source.replace(":1@", ":old@")
        assert f"source {source} is denied by rule 1 of the source policy, DENY" in done.stderr

    done = build(tmp_path / "none")
    assert "cannot read the source policy" in done.stderr


def test_the_variable_of_buildx(corten: Corten, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = write_context(tmp_path / "c", {"Dockerfile": "FROM busybox\n"})
    denied = {"action": "DENY", "selector": {"identifier": "*"}}
    path = str(rules(tmp_path / "policy", denied))
    monkeypatch.setitem(corten.environment, "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", path)
    done = corten("build", str(context), check=None)
    assert done.returncode == 1
    assert "is denied by rule 1 of the source policy, DENY *" in done.stderr
