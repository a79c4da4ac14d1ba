"""What the client's environment adds to caches of builds."""

from pathlib import Path

import pytest

from corten.client.build_options import build_request
from corten.client.cache_environment import complete, is_active


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        *("AWS_BUCKET", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("AWS_SESSION_TOKEN", "AWS_PROFILE", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_CACHE_URL"),
        *("ACTIONS_RESULTS_URL", "ACTIONS_CACHE_SERVICE_V2", "GITHUB_API_URL"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("s3", {"bucket": "b"}) == {"bucket": "b"}
    for name, value in (
        *(("AWS_BUCKET", "other"), ("AWS_REGION", "r"), ("AWS_ACCESS_KEY_ID", "id")),
        *(("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_SESSION_TOKEN", "token")),
    ):
        monkeypatch.setenv(name, value)
    key = {"access_key_id": "id", "secret_access_key": "secret", "session_token": "token"}
    assert complete("s3", {"bucket": "b"}) == {"bucket": "b", "region": "r"} | key
    own = {"bucket": "b", "region": "x", "access_key_id": "mine", "secret_access_key": "mine too"}
    assert complete("s3", own) == own  # one key, never parts of two


def test_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = b%c\n[work]\naws_access_key_id = w\n"
    )
    (tmp_path / "config").write_text(
        "[profile work]\naws_access_key_id = x\naws_secret_access_key = y\naws_session_token = z\n"
    )
    assert complete("s3", {}) == {"access_key_id": "a", "secret_access_key": "b%c"}
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert complete("s3", {}) == {"access_key_id": "x", "secret_access_key": "y", "session_token": "z"}
    (tmp_path / "credentials").write_text("no ini file")
    assert complete("s3", {})["access_key_id"] == "x"


def test_github(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_active("gha", complete("gha", {}))
    assert is_active("s3", {})
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", "t")
    monkeypatch.setenv("ACTIONS_RESULTS_URL", "https://results/")
    assert complete("gha", {}) == {"token": "t", "url": "https://results/"}
    monkeypatch.setenv("ACTIONS_CACHE_URL", "https://cache/")
    assert complete("gha", {"scope": "x"}) == {"scope": "x", "token": "t", "url": "https://cache/"}
    monkeypatch.setenv("ACTIONS_CACHE_SERVICE_V2", "True")
    second = {"token": "t", "url": "https://cache/", "url_v2": "https://results/"}
    assert complete("gha", {}) == second and is_active("gha", second)
    assert "url_v2" not in complete("gha", {"version": "1"})
    monkeypatch.setenv("GITHUB_API_URL", "https://api")
    assert complete("gha", {"ghtoken": "g"})["api_url"] == "https://api"


def test_the_python_client_takes_it_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "r")
    request = build_request(None, {"cache_to": [{"type": "s3", "bucket": "b"}]}, archive=False, local=True)
    assert request.cache_to[0].attributes == {"bucket": "b", "region": "r"}
    assert "b" not in repr(request.cache_to[0]).partition("s3")[2]
