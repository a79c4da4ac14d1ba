"""Keyword arguments of `images.build`, as the engine's request."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.api.build import BuildRequest, ContextDirectory, ContextEmpty, ContextRemote, ContextUpload
from corten.api.message import decode
from corten.client.build_options import BuildOptions, build_request, encode
from corten.errors import InvalidArgument


def test_all_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options: BuildOptions = {
        "dockerfile": "docker/Dockerfile",
        "tags": "app:1",
        "platforms": ("linux/amd64",),
        "build_args": {"A": "1"},
        "secrets": {"token": "s3cret", "raw": b"\0\xff"},
        "ssh": {"default": "agent.sock"},
        "contexts": {"Lib": "lib", "base": "docker-image://debian", "layout": "oci-layout://x"},
        "extra_hosts": {"db": "10.0.0.1"},
        "memory": "64m",
        "cpu_shares": 5,
        "ulimits": {"nofile": 10, "nproc": (1, 2)},
        "outputs": [{"type": "local", "dest": "out"}, {"type": "image"}],
        "cache_to": [{"type": "registry", "ref": "r/x"}],
        "no_cache": True,
        "jobs": 2,
        "tls_verify": False,
    }
    request = decode(encode(build_request(".", options, archive=False, local=True)), BuildRequest)
    assert request.context == ContextDirectory(str(tmp_path))
    assert request.dockerfile == str(tmp_path / "docker/Dockerfile")
    assert request.tags == ["app:1"] and request.platforms == ["linux/amd64"]
    assert {secret.id: secret.data for secret in request.secrets} == {"token": b"s3cret", "raw": b"\0\xff"}
    assert request.ssh[0].socket == str(tmp_path / "agent.sock")
    assert {item.name: item.source for item in request.named_contexts} == {
        "lib": str(tmp_path / "lib"),
        "base": "docker-image://debian",
        "layout": f"oci-layout://{tmp_path / 'x'}",
    }
    assert request.limits.memory == 64 << 20 and request.limits.cpu_shares == 5
    assert [(item.name, item.soft, item.hard) for item in request.limits.ulimits] == [
        ("nofile", 10, 10),
        ("nproc", 1, 2),
    ]
    assert request.outputs[0].attributes == {"dest": str(tmp_path / "out")}
    assert request.insecure_registries and request.no_cache and request.jobs == 2


def test_contexts(tmp_path: Path) -> None:
    def context(where: str | None, *, archive: bool = False, local: bool = True) -> object:
        return build_request(where, {}, archive=archive, local=local).context

    assert context(None) == ContextEmpty()
    assert context("https://example.org/a.git") == ContextRemote("https://example.org/a.git")
    assert context(None, archive=True) == ContextUpload()
    with pytest.raises(InvalidArgument, match="not a directory"):
        context(str(tmp_path / "nowhere"))
    with pytest.raises(InvalidArgument, match="not on this host"):
        context(str(tmp_path), local=False)


def test_mistakes() -> None:
    with pytest.raises(InvalidArgument, match="no option 'tag'"):
        build_request(None, {"tag": "x"}, archive=False, local=True)  # type: ignore[typeddict-unknown-key]
    with pytest.raises(InvalidArgument, match="has no type"):
        build_request(None, {"outputs": [{"dest": "x"}]}, archive=False, local=True)
