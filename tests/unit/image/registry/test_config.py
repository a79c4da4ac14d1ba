"""corten.toml, insecure hosts, proxies, Retry-After, refusals in words."""

from pathlib import Path

import pytest

from corten.errors import Denied, IntegrityError, InvalidArgument, NotFound, Unavailable
from corten.image.registry.answer import explain
from corten.image.registry.config import HostConfig, RegistryConfig, is_loopback, read_hosts
from corten.image.registry.proxy import proxy_for
from corten.image.registry.retry import RetryPolicy, seconds_of
from corten.image.registry.tls import context_for


def test_read_hosts(tmp_path: Path) -> None:
    file = tmp_path / "corten.toml"
    assert read_hosts(file) == {}
    file.write_text(
        '[images]\nmax_disk = "20GiB"\n[registries."docker.io"]\nmirrors = ["https://m.example/", "http://10.0.0.1:5000"]\n'
        '[registries."r.example:5000"]\ninsecure = true\n'
    )
    hosts = read_hosts(file)
    assert hosts["r.example:5000"] == HostConfig(insecure=True)
    config = RegistryConfig(hosts)
    first, second, own = config.endpoints("docker.io")
    assert (first.host, first.base, first.insecure) == ("m.example", "https://m.example", False)
    assert (second.base, second.insecure) == ("http://10.0.0.1:5000", True)
    assert (own.host, own.base, own.mirror, own.fallback) == (
        "docker.io",
        "https://registry-1.docker.io",
        False,
        False,
    )
    (lax,) = config.endpoints("r.example:5000")
    assert lax.insecure and lax.fallback


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[registries", "cannot read"),
        ("registries = 1", "is no table"),
        ('[registries."a"]\nmirror = []', "unknown key 'mirror'"),
        ('[registries."a"]\nmirrors = ["m.example"]', "is no mirror"),
        ('[registries."a"]\nmirrors = ["https://user:secret@m.example"]', "is no mirror"),
        ('[registries."a"]\ninsecure = "yes"', "insecure is true or false"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "corten.toml"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match=words):
        read_hosts(file)


def test_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "corten.toml"
    file.write_text('[registries."a.example"]\ninsecure = true\n')
    monkeypatch.setenv("CORTEN_CONFIG", str(file))
    monkeypatch.setenv("CORTEN_CERTS_DIR", str(tmp_path / "certs"))
    config = RegistryConfig.load()
    assert config.hosts == {"a.example": HostConfig(insecure=True)}
    assert config.certs_dirs[0] == tmp_path / "certs" and len(config.certs_dirs) == 3


def test_loopback() -> None:
    for host in ("localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "x.localhost"):
        assert is_loopback(host), host
    for host in ("docker.io", "10.0.0.1:5000", "localhost.example", "[2001:db8::1]", "128.0.0.1"):
        assert not is_loopback(host), host


def test_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("https://registry.example/v2/") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,.inside.example")
    assert proxy_for("https://registry.example/v2/") == "http://proxy.example:3128"
    assert proxy_for("http://registry.example/v2/") is None
    assert proxy_for("https://a.inside.example/v2/") is None
    assert proxy_for("https://127.0.0.1:5000/v2/") is None


def test_retry() -> None:
    policy = RetryPolicy(attempts=4, base=1, cap=3, longest=60)
    for attempt, most in ((0, 1), (1, 2), (2, 3)):
        delay = policy.delay(attempt)
        assert delay is not None and most / 2 <= delay <= most
    assert policy.delay(3) is None
    assert policy.delay(0, "30") == 30
    assert policy.delay(0, "61") is None
    assert policy.delay(0, "soon") is not None
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert seconds_of("-1") is None and seconds_of("") is None


def test_refusals() -> None:
    def body(code: str, message: str = "") -> bytes:
        return f'{{"errors":[{{"code":"{code}","message":"{message}","detail":{{"a":1}}}}]}}'.encode()

    error = explain(429, body("TOOMANYREQUESTS"), "pull busybox", "docker.io", hub=True, retry_after="120")
    assert isinstance(error, Unavailable)
    assert "asks to wait 120 s" in error.message and "log in by `corten login`" in error.message
    assert isinstance(explain(401, body("UNAUTHORIZED"), "x", "h"), Denied)
    assert isinstance(explain(404, b"<html>", "x", "h"), NotFound)
    assert isinstance(explain(400, body("DIGEST_INVALID"), "x", "h"), IntegrityError)
    assert "HTTP status 502" in explain(502, b"", "x", "h").message
    hostile = explain(400, body("X", "\\u001b[2Jcleared\\n\\u202eit"), "x", "h").message
    assert "\x1b" not in hostile and "\n" not in hostile and "\u202e" not in hostile


def test_certs_d_mistakes(tmp_path: Path) -> None:
    directory = tmp_path / "r.example"
    directory.mkdir()
    (directory / "client.cert").write_text("x")
    with pytest.raises(InvalidArgument, match=r"missing key .*client\.key"):
        context_for("r.example", [tmp_path], insecure=False)
    (directory / "client.cert").unlink()
    (directory / "ca.crt").write_text("x")
    with pytest.raises(InvalidArgument, match=r"cannot read the certificate .*ca\.crt"):
        context_for("r.example", [tmp_path], insecure=False)
    assert context_for("other.example", [tmp_path], insecure=False).check_hostname
