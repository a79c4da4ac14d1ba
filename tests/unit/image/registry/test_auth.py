"""Basic, Bearer and identity tokens; where credentials come from and where they do not go."""

import json
from pathlib import Path

import pytest
from aiohttp import web

from corten.errors import Denied
from corten.image.registry.credentials import Basic, Credentials, IdentityToken, RegistryToken
from tests.unit.image.images import layer_of
from tests.unit.image.registry.fake import FakeRegistry, basic, refused, registries


async def test_basic(tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.auth = {"user": "pass:word"}
        fake.add_image([layer_of("a")])
        with pytest.raises(Denied, match="wants a user name and password: log in first"):
            await known.client(fake.host).manifest("app", "latest")
        with pytest.raises(Denied, match="wants a login"):
            await known.client(fake.host, auth=Basic("user", "wrong")).manifest("app", "latest")
        client = known.client(fake.host, auth=Basic("user", "pass:word"))
        await client.manifest("app", "latest")
        fake.log.clear()
        await client.manifest("app", "latest")  # sent right away now
        assert [authorization for _, _, authorization in fake.log] == [basic("user", "pass:word")]


async def test_tokens_are_kept_for_each_scope(tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.bearer = True
        fake.add_image([layer_of("a")])
        client = known.client(fake.host)
        for _ in range(3):
            await client.manifest("app", "latest")
        assert fake.tokens_issued == 1
        await client.manifest("other", "latest")
        assert fake.tokens_issued == 2
        scopes = [path for _, path, _ in fake.log if path.startswith("/token")]
        assert "scope=repository%3Aapp%3Apull" in scopes[0] and "service=fake" in scopes[0]
        assert "scope=repository%3Aother%3Apull" in scopes[1]


async def test_a_token_that_ran_out_is_renewed(tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.bearer = True
        fake.add_image([layer_of("a")])
        client = known.client(fake.host)
        await client.manifest("app", "latest")

        async def hook(request: web.Request) -> web.StreamResponse | None:
            if request.headers.get("Authorization") == "Bearer token-1":
                challenge = f'Bearer realm="http://{fake.host}/token",error="invalid_token"'
                return refused(401, "UNAUTHORIZED", "", {"WWW-Authenticate": challenge})
            return None

        fake.hook = hook
        await client.manifest("app", "latest")
        assert fake.tokens_issued == 2


async def test_token_with_password_and_identity_token(tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.bearer = True
        fake.auth = {"user": "secret"}
        fake.add_image([layer_of("a")])
        with pytest.raises(Denied, match="incorrect username or password"):
            await known.client(fake.host, auth=Basic("user", "wrong")).login()
        assert await known.client(fake.host, auth=Basic("user", "secret")).login() == "identity"
        await known.client(fake.host, auth=IdentityToken("identity")).manifest("app", "latest")
        assert fake.log[-2][:2] == ("POST", "/token")
        with pytest.raises(Denied, match="wrong identity token"):
            await known.client(fake.host, auth=IdentityToken("stolen")).manifest("app", "latest")
        await known.client(fake.host, auth=RegistryToken("token-x")).manifest("app", "latest")


async def test_no_password_to_a_token_server_without_tls(tmp_path: Path) -> None:
    from corten.image.registry.challenge import Challenge
    from corten.image.registry.config import RegistryConfig

    async with FakeRegistry() as fake, registries(tmp_path, config=RegistryConfig(loopback=False)) as known:
        client = known.client("registry.example", auth=Basic("user", "secret"))
        challenge = Challenge("bearer", {"realm": f"http://{fake.host}/token"})
        with pytest.raises(Denied, match="token server without TLS"):
            await client._origin.authorizer.answer([challenge], ())
        assert fake.log == []


async def test_credentials_of_the_file(tmp_path: Path) -> None:
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.auth = {"user": "secret"}
        fake.add_image([layer_of("a")])
        Credentials(tmp_path / "config.json").store(fake.host, Basic("user", "secret"))
        await known.client(fake.host).manifest("app", "latest")
        document = json.loads((tmp_path / "config.json").read_text())
        assert list(document["auths"]) == [fake.host]
