"""From the command line to the request: flags, secrets, outputs, caches, contexts."""

from __future__ import annotations

import base64
import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest

from corten.api.build import BuildRequest, ContextDirectory, ContextEmpty, ContextRemote, ContextUpload
from corten.api.message import convert
from corten.cli import build_agent, build_context, build_request, build_specs, options
from corten.cli.build_options import BUILD_OPTIONS
from corten.errors import CortenError, InvalidArgument, Unsupported


def request(*words: str) -> dict[str, Any]:
    return build_request.make(options.parse(words, BUILD_OPTIONS))


def test_every_flag_reaches_the_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_bytes(b"s3cret\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FROM_ENVIRONMENT", "yes")
    monkeypatch.delenv("MISSING", raising=False)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234")
    raw = request(
        *("-t", "a", "-t", "b:1", "--target", "run", "--platform", "linux/amd64,linux/arm64"),
        *(
            "--build-arg",
            "A=1",
            "--build-arg",
            "FROM_ENVIRONMENT",
            "--build-arg",
            "MISSING",
            "--label",
            "l=1=2",
        ),
        *("--annotation", "index:k=v", "--secret", "id=token,src=token", "--allow", "network.host"),
        *("--network", "none", "--add-host", "db=[::1]", "--add-host", "web:10.0.0.1", "--shm-size", "64m"),
        *(
            "-m",
            "1g",
            "--memory-swap",
            "-1",
            "--ulimit",
            "nofile=10:20",
            "--cgroup-parent",
            "/x",
            "-c",
            "512",
        ),
        *("--no-cache", "--no-cache-filter", "a,b", "--pull", "--explain", "--debug-shell", "-j", "3"),
        *("--cache-from", "app:cache", "--cache-to", "type=local,dest=cache,mode=max", "-o", "out"),
        *("--build-context", f"Lib={tmp_path}", "--build-context", "base=docker-image://debian:12"),
        *("--security-opt", "seccomp=unconfined", "--tls-verify=false"),
    )
    made = convert(raw, BuildRequest)
    assert len(made.id) == 32
    assert made.tags == ["a", "b:1"] and made.target == "run"
    assert made.platforms == ["linux/amd64", "linux/arm64"]
    assert made.build_args == {"A": "1", "FROM_ENVIRONMENT": "yes"}
    assert made.labels == {"l": "1=2"} and made.annotations == ["index:k=v"]
    assert [(secret.id, secret.data) for secret in made.secrets] == [("token", b"s3cret\n")]
    assert "s3cret" not in repr(made.secrets) and "s3cret" not in repr(made)
    assert made.allow == ["network.host"] and made.network == "none"
    assert [(host.name, host.address) for host in made.hosts] == [("db", "::1"), ("web", "10.0.0.1")]
    limits = made.limits
    assert (limits.memory, limits.memory_swap, limits.shm_size) == (1 << 30, -1, 64 << 20)
    assert (limits.cgroup_parent, limits.cpu_shares) == ("/x", 512)
    assert [(item.name, item.soft, item.hard) for item in limits.ulimits] == [("nofile", 10, 20)]
    assert made.no_cache and made.no_cache_filter == ["a", "b"] and made.pull and made.explain
    assert made.debug_shell and made.jobs == 3 and made.source_epoch == 1234
    assert (made.cache_from[0].type, made.cache_from[0].attributes) == ("registry", {"ref": "app:cache"})
    assert made.cache_to[0].attributes == {"dest": str(tmp_path / "cache"), "mode": "max"}
    assert (made.outputs[0].type, made.outputs[0].attributes) == ("local", {"dest": str(tmp_path / "out")})
    assert [(item.name, item.source) for item in made.named_contexts] == [
        ("lib", str(tmp_path)),
        ("base", "docker-image://debian:12"),
    ]
    assert made.security == ["seccomp=unconfined"] and made.insecure_registries


def test_proxies_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(
        '{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "here"}}}'
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    made = request("--build-arg", "http_proxy=mine", "--build-arg", "A=1")
    build_request.add_proxies(made, "unix:///x")
    assert made["build_args"] == {
        "A": "1",
        "http_proxy": "mine",
        "HTTP_PROXY": "http://p:1",
        "NO_PROXY": "here",
        "no_proxy": "here",
    }
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nothing"))
    without = request()
    build_request.add_proxies(without, "unix:///x")
    assert "build_args" not in without


def test_an_epoch_by_name_is_a_build_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "context")
    assert request()["build_args"] == {"SOURCE_DATE_EPOCH": "context"}
    assert request("--build-arg", "SOURCE_DATE_EPOCH=5")["build_args"] == {"SOURCE_DATE_EPOCH": "5"}


def test_nothing_is_asked_for_that_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert list(request()) == ["id"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--push", "-t", "r/x"], [("image", {"push": "true"})]),
        (
            ["--push", "-t", "r/x", "-o", "type=image,compression=zstd"],
            [("image", {"compression": "zstd", "push": "true"})],
        ),
        (["--load", "-o", "type=oci,dest=x.tar"], [("image", {}), ("oci", {"dest": "x.tar"})]),
        (["-o", "-"], [("tar", {"dest": "-"})]),
        (["-o", "type=oci"], [("oci", {"dest": "-"})]),
        (["-o", 'type=image,"name=a,b",push=true'], [("image", {"name": "a,b", "push": "true"})]),
    ],
)
def test_outputs(
    words: list[str], expected: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "isatty", lambda fd: False)
    for _kind, attributes in expected:
        if attributes.get("dest", "-") != "-":
            attributes["dest"] = str(tmp_path / attributes["dest"])
    found = [(output["type"], output["attributes"]) for output in request(*words)["outputs"]]
    assert found == expected


@pytest.mark.parametrize(
    "text", ["secret_access_key=hush,bucket=b", '"type=s3,token=hush', "type=,ghtoken=hush"]
)
def test_mistakes_in_caches_show_no_secret(text: str) -> None:
    with pytest.raises(CortenError) as caught:
        request("--cache-to", text)
    assert "invalid --cache-to: " in caught.value.message and "hush" not in caught.value.message


def test_caches_of_workflows_outside_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ACTIONS_RUNTIME_TOKEN", "ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"):
        monkeypatch.delenv(name, raising=False)
    assert "cache_to" not in request("--cache-to", "type=gha,mode=max")
    assert "WARNING: --cache-to type=gha is left out: " in capsys.readouterr().err
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", "t")
    monkeypatch.setenv("ACTIONS_CACHE_URL", "https://x")
    (found,) = request("--cache-to", "type=gha,mode=max")["cache_to"]
    assert found == {"type": "gha", "attributes": {"mode": "max", "token": "t", "url": "https://x"}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--secret", "src=x"], "secret 'x': cannot read x"),
        (["--secret", "id=a,env=NOT_THERE"], "the variable NOT_THERE is not set"),
        (["--secret", "id=a"], "secret 'a': cannot read a: No such file"),
        (["--secret", "id=a,b=c"], "unexpected key 'b'"),
        (["--secret", "id=a,src=x,env=y"], "a file and a variable"),
        (["--output", "type=local"], "type=local needs dest=DIRECTORY"),
        (["--output", "dest=x"], "it has no type"),
        (["--output", "type=local,dest=.,mode=delete"], "would remove the current directory's own files"),
        (["--output", "type=local,dest=..,mode=delete"], "would remove the current directory's own files"),
        (["--output", "type=tar,dest=nowhere/x.tar"], "there is no directory"),
        (["--output", 'type=tar,"dest=x'], "not closed"),
        (["-o", "-", "-o", "type=oci,dest=-"], "only one --output can go to stdout"),
        (["--push"], "--push needs a name"),
        (["--cache-to", "type=registry"], "needs ref=…"),
        (["--cache-from", "type=local"], "needs src=…"),
        (["--build-context", "x"], "write it as NAME=SOURCE"),
        (["--build-context", "x=nowhere"], "nowhere is not a directory"),
        (["--build-arg", "=1"], "invalid --build-arg"),
        (["--add-host", "x"], "write it as HOST:IP"),
        (["--call", "lnit"], "invalid --call 'lnit'"),
        (["--call", "describe", "--check"], "--check is --call=check"),
        (["--check", "--call", "targets"], "--check is --call=check"),
        (["--isolation", "hyperv"], "on Linux there is only default"),
        (["--jobs", "-1"], "invalid --jobs"),
        (["--provenance", "mode=max"], "makes no attestations yet"),
        (["--attest", "type=sbom"], "makes no attestations yet"),
        (["--squash"], "--squash is not offered"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "isatty", lambda fd: False)
    with pytest.raises(CortenError) as caught:
        request(*words)
    assert message in caught.value.message and "\n" not in caught.value.message


def test_attestations_that_are_refused_are_accepted() -> None:
    request("--provenance=false", "--sbom", "false", "--attest", "type=provenance,disabled=true")


def test_a_secret_without_a_source_is_a_variable_or_else_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("both").write_text("file")
    monkeypatch.setenv("both", "variable")
    assert base64.b64decode(build_specs.secret("id=both")["data"]) == b"variable"
    assert base64.b64decode(build_specs.secret("type=file,id=both")["data"]) == b"file"
    assert base64.b64decode(build_specs.secret("id=x,type=env,env=both")["data"]) == b"variable"
    Path("big").write_bytes(b"x" * (build_specs.MAX_SECRET + 1))
    with pytest.raises(CortenError, match="too big"):
        build_specs.secret("id=big")


def _choose(context: str, file: str = "", *, local: bool = True) -> tuple[BuildRequest, bytes | None]:
    chosen = build_context.choose(context, file, local=local)
    archive = None if chosen.archive is None else b"".join(chosen.archive)
    return convert(chosen.fields, BuildRequest), archive


def test_a_directory_is_named_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").mkdir()
    made, archive = _choose("c")
    assert archive is None
    assert made.context == ContextDirectory(str(tmp_path / "c"))
    assert made.dockerfile == str(tmp_path / "c/Dockerfile")
    assert _choose("c", "other/Dockerfile.x")[0].dockerfile == str(tmp_path / "other/Dockerfile.x")


def test_an_engine_elsewhere_is_sent_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/file").write_text("x")
    (tmp_path / "Dockerfile.out").write_text("FROM scratch\n")
    made, archive = _choose("c", "c/sub/Dockerfile", local=False)
    assert made.context == ContextUpload(is_directory=True) and made.dockerfile == "sub/Dockerfile"
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert "./file" in tar.getnames()
    made, _ = _choose("c", "Dockerfile.out", local=False)
    assert made.dockerfile_text == b"FROM scratch\n" and made.dockerfile == "Dockerfile.out"
    with pytest.raises(Unsupported, match="need an engine on this host"):
        build_request.check_place(request("--build-context", f"x={tmp_path}"), local=False)


@pytest.mark.parametrize(
    "url", ["https://example.org/app.git#v1:sub", "git@example.org:app", "https://example.org/x.tar.gz"]
)
def test_urls_are_left_to_the_engine(url: str) -> None:
    made, archive = _choose(url, "docker/Dockerfile")
    assert made.context == ContextRemote(url) and made.dockerfile == "docker/Dockerfile" and archive is None


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def feed(data: bytes) -> None:
        rest = io.BytesIO(data)
        real = os.read
        monkeypatch.setattr(os, "isatty", lambda fd: False)
        monkeypatch.setattr(
            os, "read", lambda fd, size: rest.read(min(size, 300)) if fd == 0 else real(fd, size)
        )

    return feed


def test_stdin_is_an_archive_or_a_dockerfile(stdin: Any) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("Dockerfile"))
    stdin(buffer.getvalue())
    made, archive = _choose("-", "sub/Dockerfile")
    assert made.context == ContextUpload() and made.dockerfile == "sub/Dockerfile"
    assert archive == buffer.getvalue()
    text = b"FROM busybox\n" + b"# a long comment\n" * 100
    stdin(text)
    made, archive = _choose("-")
    assert made.context == ContextEmpty() and made.dockerfile_text == text and archive is None
    stdin(b"\x1f\x8b\x08rest")
    assert _choose("-")[1] == b"\x1f\x8b\x08rest"
    stdin(b"")
    with pytest.raises(CortenError, match="empty"):
        _choose("-")


def test_the_dockerfile_on_stdin(stdin: Any, tmp_path: Path) -> None:
    stdin(b"FROM scratch\n")
    made, _ = _choose(str(tmp_path), "-")
    assert made.context == ContextDirectory(str(tmp_path)) and made.dockerfile_text == b"FROM scratch\n"
    with pytest.raises(InvalidArgument, match="both"):
        _choose("-", "-")


def test_a_context_that_is_not_there() -> None:
    with pytest.raises(CortenError, match="'nowhere' is not a directory"):
        _choose("nowhere")


def test_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "agent.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    with build_agent.Agents(["default", f"other={path}"]) as agents:
        assert agents.sockets == [("default", path), ("other", path)]
    listener.close()
    monkeypatch.delenv("SSH_AUTH_SOCK")
    for spec, message in (
        ("default", "no agent runs"),
        ("a=/nowhere", "cannot use /nowhere"),
        (f"a={path},{path}", "one socket, or key files only"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            build_agent.Agents([spec]).__enter__()


def test_keys_get_an_agent_of_their_own(tmp_path: Path) -> None:
    import shutil
    import subprocess

    if shutil.which("ssh-agent") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-agent is not installed (package openssh-client)")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with build_agent.Agents([f"git={key}"]) as agents:
        [(name, path)] = agents.sockets
        listed = subprocess.run(
            ["ssh-add", "-L"],
            env={**os.environ, "SSH_AUTH_SOCK": path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert name == "git" and listed.stdout.split()[:2] == key.with_suffix(".pub").read_text().split()[:2]
    for _ in range(100):
        if not os.path.exists(path):
            break
        import time

        time.sleep(0.02)
    assert not os.path.exists(path)
