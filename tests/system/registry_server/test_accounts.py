"""A registry with accounts, by hand: who may do what, tokens, and what ends them."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("argon2")
pytest.importorskip("cryptography")
pytest.importorskip("jwt")

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.registry_accounts import (
    SERVICE,
    UNLIMITED,
    Accounts,
    basic,
    bearer,
    eventually,
    everywhere,
    fetch_token,
    post_form,
)
from tests.registry_server import Client, ServerProcess, digest_of, make_image
from tests.registry_stores import PostgresServer

PASSWORDS = {"root": "root's secret", "alice": "alice's secret", "bob": "bob's secret"}
IMAGE = make_image("accounts")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """root administers, alice pushes to team/**, bob pulls from team/*, everybody from public/**."""
    server = ServerProcess(tmp_path_factory.mktemp("accounts"), workers=2, limits=UNLIMITED).start()
    client = server.client()
    for repository in ("team/app", "team/deep/app", "public/app", "private/app"):
        client.push_image(repository, "1", IMAGE)
    accounts = Accounts(server)
    accounts.add("root", PASSWORDS["root"], "admin:**")
    accounts.add("alice", PASSWORDS["alice"], "pull,push:team/**")
    accounts.add("bob", PASSWORDS["bob"], "pull:team/*")
    accounts.run("user", "grant", "anonymous", "pull:public/**")
    client.close()
    everywhere(server, lambda c: c.get("/v2/").status, 401)
    everywhere(server, lambda c: c.get("/v2/public/app/tags/list").status, 200)
    everywhere(server, lambda c: c.get("/v2/", Authorization=header("bob")).status, 200)
    yield server
    server.close()


@pytest.fixture
def accounts(server: ServerProcess) -> Accounts:
    return Accounts(server)


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    client = Client(server.url)
    yield client
    client.close()


def header(name: str) -> str:
    return basic(name, PASSWORDS[name]) if name else ""


def headers_of(name: str) -> dict[str, str]:
    return {"Authorization": header(name)} if name else {}


def test_the_first_account_closes_the_registry_and_the_last_one_opens_it(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=2).start()
    client, accounts = server.client(), Accounts(server)
    client.push_image("app", "1", IMAGE)
    assert client.get("/token").status == 404
    done = accounts.run("user", "add", "root", "--admin", "--password-stdin", input="secret")
    assert "first account" in done.stderr
    everywhere(server, lambda c: c.get("/v2/app/tags/list").status, 401)
    assert client.get("/v2/app/tags/list", Authorization=basic("root", "secret")).status == 200
    assert "--open" in accounts.run("user", "rm", "root", code=1).stderr
    accounts.run("user", "rm", "--open", "root")
    everywhere(server, lambda c: c.get("/v2/app/tags/list").status, 200)
    assert (Path(str(server.settings["root"])) / "registry.db").stat().st_mode & 0o077 == 0
    server.close()


@pytest.mark.parametrize(
    ("who", "repository", "pull", "push", "delete"),
    [
        ("", "public/app", 200, 401, 401),
        ("", "private/app", 401, 401, 401),
        ("", "team/app", 401, 401, 401),
        ("bob", "team/app", 200, 403, 403),
        ("bob", "team/deep/app", 403, 403, 403),
        ("bob", "public/app", 200, 403, 403),
        ("alice", "team/app", 200, 202, 403),
        ("alice", "team/deep/app", 200, 202, 403),
        ("alice", "team/new", 404, 202, 403),
        ("alice", "private/app", 403, 403, 403),
        ("root", "private/app", 200, 202, 404),
    ],
)
@pytest.mark.parametrize("way", ["basic", "bearer"])
def test_who_may_do_what(
    client: Client, who: str, repository: str, pull: int, push: int, delete: int, way: str
) -> None:
    sent = headers_of(who)
    if way == "bearer":
        scope = f"repository:{repository}:pull,push,delete"
        sent = {"Authorization": bearer(client, scope, authorization=header(who))}
    assert client.request("GET", f"/v2/{repository}/manifests/1", headers=sent).status == pull
    answer = client.request("POST", f"/v2/{repository}/blobs/uploads/", b"", sent)
    assert answer.status == push
    absent = f"/v2/{repository}/manifests/absent"
    assert client.request("DELETE", absent, headers=sent).status == delete


def test_what_a_refusal_tells(client: Client) -> None:
    answer = client.get("/v2/private/app/manifests/1")
    assert answer.header("WWW-Authenticate") == (
        f'Bearer realm="{client.url}/token",service="{SERVICE}",scope="repository:private/app:pull"'
    )
    assert answer.codes == ["UNAUTHORIZED"]
    answer = client.request("POST", "/v2/private/app/blobs/uploads/", b"", headers_of("bob"))
    assert answer.status == 403 and answer.codes == ["DENIED"]
    # A client that is not asked at /v2/ would never send its credentials.
    answer = client.get("/v2/")
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == f'Bearer realm="{client.url}/token",service="{SERVICE}"'
    answer = client.get("/v2/", Host="registry.example", X_Forwarded_Proto="https")
    assert 'realm="https://registry.example/token"' in answer.header("WWW-Authenticate")


@pytest.mark.parametrize(
    ("who", "repositories"),
    [
        ("", ["public/app"]),
        ("bob", ["public/app", "team/app"]),
        ("alice", ["public/app", "team/app", "team/deep/app"]),
        ("root", ["private/app", "public/app", "team/app", "team/deep/app"]),
    ],
)
def test_the_catalog_lists_what_one_may_pull(client: Client, who: str, repositories: list[str]) -> None:
    sent = headers_of(who)
    assert client.request("GET", "/v2/_catalog", headers=sent).json()["repositories"] == repositories
    token = bearer(client, "registry:catalog:*", authorization=header(who))
    assert client.get("/v2/_catalog", Authorization=token).json()["repositories"] == repositories
    # One by one, page after page.
    found, target = [], "/v2/_catalog?n=1"
    while target:
        answer = client.request("GET", target, headers=sent)
        found += answer.json()["repositories"]
        target = answer.header("Link").partition("<")[2].partition(">")[0]
    assert found == repositories


def test_a_token_is_for_what_is_asked_and_allowed(client: Client) -> None:
    answer = fetch_token(
        client,
        "repository:team/app:pull,push,delete",
        "repository:private/app:pull repository:team/other:*",
        "repository:nonsense",
        authorization=header("alice"),
    )
    document = answer.json()
    assert document["scope"] == "repository:team/app:pull,push repository:team/other:pull,push"
    assert document["token"] == document["access_token"] and document["expires_in"] == 300
    assert "refresh_token" not in document
    assert answer.header("Cache-Control") == "no-store"
    claims = jwt.decode(document["token"], options={"verify_signature": False})
    assert jwt.get_unverified_header(document["token"])["kid"]
    assert (claims["iss"], claims["aud"], claims["sub"]) == (SERVICE, SERVICE, "alice")
    assert claims["exp"] - claims["iat"] == 300 and claims["nbf"] <= claims["iat"] and claims["jti"]
    assert claims["access"][0] == {"type": "repository", "name": "team/app", "actions": ["pull", "push"]}
    sent = {"Authorization": f"Bearer {document['token']}"}
    assert client.request("GET", "/v2/team/app/manifests/1", headers=sent).status == 200
    # alice may, but this token is not for it: the client is told to get another one.
    answer = client.request("GET", "/v2/team/deep/app/manifests/1", headers=sent)
    assert answer.status == 401 and 'error="insufficient_scope"' in answer.header("WWW-Authenticate")
    # She may not, and another token would not help.
    assert client.request("GET", "/v2/private/app/manifests/1", headers=sent).status == 403


def test_a_token_for_nobody(client: Client) -> None:
    token = bearer(client, "repository:public/app:pull,push", "repository:private/app:pull")
    assert client.get("/v2/public/app/manifests/1", Authorization=token).status == 200
    assert client.get("/v2/", Authorization=token).status == 200
    answer = client.get("/v2/private/app/manifests/1", Authorization=token)
    assert answer.status == 401 and "scope=" in answer.header("WWW-Authenticate")


@pytest.mark.parametrize(
    "authorization",
    [basic("bob", "wrong"), basic("nobody", "x"), basic("", ""), "Basic !", "Basic", "Bearer x", "Digest x"],
)
def test_wrong_credentials(client: Client, authorization: str) -> None:
    for target in ("/token", "/v2/", "/v2/public/app/manifests/1"):
        answer = client.get(target, Authorization=authorization)
        assert answer.status == 401 and answer.codes == ["UNAUTHORIZED"], target
        assert answer.header("WWW-Authenticate").startswith("Bearer realm=")


def test_oauth2(client: Client) -> None:
    scope = "repository:team/app:pull repository:private/app:pull"
    fields = {"service": SERVICE, "client_id": "test", "scope": scope}
    answer = post_form(client, grant_type="password", username="bob", password=PASSWORDS["bob"], **fields)
    assert answer.status == 200
    assert answer.json()["scope"] == "repository:team/app:pull"
    assert "refresh_token" not in answer.json()
    answer = post_form(client, grant_type="password", username="bob", password="wrong", **fields)
    assert answer.status == 401
    answer = post_form(
        client,
        grant_type="password",
        username="bob",
        password=PASSWORDS["bob"],
        access_type="offline",
        **fields,
    )
    refresh = answer.json()["refresh_token"]
    answer = post_form(client, grant_type="refresh_token", refresh_token=refresh, **fields)
    assert answer.status == 200 and answer.json()["refresh_token"] == refresh
    token = f"Bearer {answer.json()['access_token']}"
    assert client.get("/v2/team/app/manifests/1", Authorization=token).status == 200
    # It is for /token alone.
    assert client.get("/v2/team/app/manifests/1", Authorization=f"Bearer {refresh}").status == 401
    assert client.get("/v2/team/app/manifests/1", Authorization=basic("bob", refresh)).status == 401


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"grant_type": "authorization_code"}, 400),
        ({"grant_type": "refresh_token"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "corten-refresh-nonsense"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 5000}, 401),
        ({"grant_type": "password"}, 401),
        ({"grant_type": "password", "username": "bob", "password": PASSWORDS["bob"], "service": "else"}, 400),
        (
            {"grant_type": "password", "username": "bob", "password": PASSWORDS["bob"], "scope": "x " * 200},
            400,
        ),
        ({f"field{number}": "" for number in range(300)}, 400),
        ({"grant_type": "x" * 70_000}, 413),
    ],
)
def test_forms_that_are_refused(client: Client, fields: dict[str, str], status: int) -> None:
    assert post_form(client, **fields).status == status
    assert client.request("POST", "/token", b"{}", {"Content-Type": "application/json"}).status == 400


def test_a_form_that_is_too_large_is_called_a_form(client: Client) -> None:
    answer = post_form(client, grant_type="x" * 70_000)
    assert answer.codes == ["UNSUPPORTED"]
    assert "the form is larger than" in answer.json()["errors"][0]["message"]


def test_a_token_cannot_be_too_large(client: Client) -> None:
    scope = " ".join(f"repository:team/{'x' * 200}{number}:pull" for number in range(60))
    answer = post_form(
        client, grant_type="password", username="alice", password=PASSWORDS["alice"], scope=scope
    )
    assert answer.status == 400 and "fewer scopes" in answer.json()["errors"][0]["message"]


@pytest.fixture(scope="module")
def forger(server: ServerProcess) -> Forger:
    return Forger(server)


class Forger:
    """Makes tokens that are right but for one thing."""

    def __init__(self, server: ServerProcess) -> None:
        self.database = Path(str(server.settings["root"])) / "registry.db"
        with sqlite3.connect(self.database) as connection:
            self.kid, private = connection.execute("SELECT id, private FROM signing_keys").fetchone()
            (self.stamp,) = connection.execute("SELECT stamp FROM accounts WHERE name = 'root'").fetchone()
        connection.close()
        self.key = Ed25519PrivateKey.from_private_bytes(private)

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": SERVICE,
            "sub": "root",
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now,
            "iat": now,
            "jti": "x",
            "access": [{"type": "repository", "name": "private/app", "actions": ["pull", "push"]}],
            "stamp": self.stamp,
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changed: Any) -> str:
        return str(jwt.encode(self.claims(**changed), self.key, "EdDSA", {"kid": self.kid}))

    def raw(self, head: dict[str, Any], signature: bytes = b"", **changed: Any) -> str:
        parts = [json.dumps(head).encode(), json.dumps(self.claims(**changed)).encode(), signature]
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)

    def bad(self, how: str) -> str:
        now, kid = int(time.time()), {"kid": self.kid}
        public = self.key.public_key().public_bytes_raw()
        match how:
            case "other audience":
                return self.token(aud="other")
            case "several audiences, not this one":
                return self.token(aud=["a", "b"])
            case "other issuer":
                return self.token(iss="other")
            case "expired":
                return self.token(exp=now - 1, iat=now - 301, nbf=now - 301)
            case "not yet":
                return self.token(nbf=now + 60)
            case "from the future":
                return self.token(iat=now + 60)
            case "no end":
                return self.token(exp=None)
            case "no audience":
                return self.token(aud=None)
            case "no access":
                return self.token(access=None)
            case "access that is none":
                return self.token(access=[{"type": "repository"}])
            case "actions that are none":
                return self.token(access=[{"type": "repository", "name": "private/app", "actions": ["rule"]}])
            case "another account's":
                return self.token(sub="nobody")
            case "another stamp":
                return self.token(stamp="0")
            case "signed again":
                return str(jwt.encode(self.claims(), Ed25519PrivateKey.generate(), "EdDSA", kid))
            case "alg none":
                return self.raw({"alg": "none", "typ": "JWT", **kid})
            case "alg None with a signature":
                return self.raw({"alg": "None", "typ": "JWT", **kid}, b"x" * 64)
            case "HS256 with the public key":
                return str(jwt.encode(self.claims(), public + b"\0" * 0, "HS256", kid))
            case "no kid":
                return str(jwt.encode(self.claims(), self.key, "EdDSA"))
            case "unknown kid":
                return str(jwt.encode(self.claims(), self.key, "EdDSA", {"kid": "unknown"}))
            case "kid that is no text":
                return self.raw({"alg": "EdDSA", "kid": ["x"]}, b"x" * 64)
            case "changed claims":
                head, _, signature = self.token().split(".")
                other = self.token(access=[{"type": "repository", "name": "x", "actions": ["pull"]}])
                return f"{head}.{other.split('.')[1]}.{signature}"
            case "no signature":
                return self.token().rpartition(".")[0] + "."
            case "huge":
                return self.token(jti="x" * 5500)
            case "deep":
                deep = base64.urlsafe_b64encode(b"[" * 4000).decode().rstrip("=")
                return f"{deep}.x.x"
            case "not UTF-8":
                return base64.urlsafe_b64encode(b"\xff\xfe{").decode() + ".x.x"
        return how


@pytest.mark.parametrize(
    "how",
    [
        "other audience",
        "several audiences, not this one",
        "other issuer",
        "expired",
        "not yet",
        "from the future",
        "no end",
        "no audience",
        "no access",
        "access that is none",
        "actions that are none",
        "another account's",
        "another stamp",
        "signed again",
        "alg none",
        "alg None with a signature",
        "HS256 with the public key",
        "no kid",
        "unknown kid",
        "kid that is no text",
        "changed claims",
        "no signature",
        "huge",
        "deep",
        "not UTF-8",
        "a.b.c",
        "",
        "..",
    ],
)
def test_bad_tokens(server: ServerProcess, client: Client, forger: Forger, how: str) -> None:
    """401, logged, and nothing is done."""
    good = client.get("/v2/private/app/manifests/1", Authorization=f"Bearer {forger.token()}")
    assert good.status == 200, "the forger's tokens have to be good but for one thing"
    sent = {"Authorization": f"Bearer {forger.bad(how)}"}
    logged = server.log.stat().st_size
    answer = client.request("PUT", "/v2/private/app/manifests/forged", IMAGE.payload, sent)
    assert answer.status == 401 and answer.codes == ["UNAUTHORIZED"]
    assert 'error="invalid_token"' in answer.header("WWW-Authenticate")
    for target in ("/v2/", "/v2/_catalog", "/v2/public/app/manifests/1", "/token"):
        assert client.request("GET", target, headers=sent).status == 401
    root = headers_of("root")
    assert client.request("GET", "/v2/private/app/manifests/forged", headers=root).status == 404
    with open(server.log, "rb") as log:
        log.seek(logged)
        assert b"PUT /v2/private/app/manifests/forged: 401" in log.read()


def test_a_token_of_another_registry(client: Client, tmp_path: Path) -> None:
    other = ServerProcess(tmp_path, workers=1, limits=UNLIMITED).start()
    Accounts(other).add("root", PASSWORDS["root"], "admin:**")
    there = other.client()
    eventually(lambda: there.get("/v2/").status, 401)
    token = bearer(there, "repository:private/app:pull", authorization=header("root"))
    assert client.get("/v2/private/app/manifests/1", Authorization=token).status == 401
    other.close()


def test_a_mount_needs_leave_for_its_source(client: Client) -> None:
    digest = digest_of(IMAGE.layers[0])
    alice = headers_of("alice")
    for source, status in (("team/app", 201), ("public/app", 201), ("private/app", 202)):
        target = f"/v2/team/mounted/blobs/uploads/?mount={digest}&from={source}"
        assert client.request("POST", target, b"", alice).status == status
    # A token that is not for the source does not open it, though alice may pull there.
    scopes = ("repository:team/mounted2:pull,push", "repository:team/app:pull")
    for given, status in ((scopes[:1], 202), (scopes, 201)):
        sent = {"Authorization": bearer(client, *given, authorization=header("alice"))}
        target = f"/v2/team/mounted2/blobs/uploads/?mount={digest}&from=team/app"
        assert client.request("POST", target, b"", sent).status == status


def test_what_ends_access(server: ServerProcess, client: Client, accounts: Accounts) -> None:
    """Other permissions, another password, being disabled, being removed: every worker notices in seconds."""
    target, scope = "/v2/team/app/manifests/1", "repository:team/app:pull"
    accounts.add("carol", "first", "pull:team/*")

    def status(authorization: str) -> int:
        return client.get(target, Authorization=authorization).status

    everywhere(server, lambda c: c.get(target, Authorization=basic("carol", "first")).status, 200)
    token = bearer(client, scope, authorization=basic("carol", "first"))
    refresh = fetch_token(client, authorization=basic("carol", "first"), offline_token="true").json()[
        "refresh_token"
    ]
    fields = {"grant_type": "refresh_token", "refresh_token": refresh, "service": SERVICE}
    accounts.run("user", "revoke", "carol", "team/*")
    everywhere(server, lambda c: c.get(target, Authorization=token).status, 403)
    everywhere(server, lambda c: c.get(target, Authorization=basic("carol", "first")).status, 403)
    accounts.run("user", "grant", "carol", "pull:team/app")
    everywhere(server, lambda c: c.get(target, Authorization=token).status, 200)
    assert post_form(client, **fields).status == 200

    accounts.run("user", "passwd", "carol", "--password-stdin", input="second")
    everywhere(server, lambda c: c.get(target, Authorization=token).status, 401)
    everywhere(server, lambda c: c.get(target, Authorization=basic("carol", "first")).status, 401)
    assert status(basic("carol", "second")) == 200
    assert post_form(client, **fields).status == 401

    token = bearer(client, scope, authorization=basic("carol", "second"))
    accounts.run("user", "disable", "carol")
    for authorization in (token, basic("carol", "second")):
        everywhere(server, lambda c, sent=authorization: c.get(target, Authorization=sent).status, 401)
    assert fetch_token(client, scope, authorization=basic("carol", "second")).status == 401
    accounts.run("user", "enable", "carol")
    everywhere(server, lambda c: c.get(target, Authorization=basic("carol", "second")).status, 200)

    accounts.run("user", "rm", "carol")
    for authorization in (token, basic("carol", "second")):
        everywhere(server, lambda c, sent=authorization: c.get(target, Authorization=sent).status, 401)
    # Somebody else by the same name does not get what her tokens were for.
    accounts.add("carol", "second", "pull:team/*")
    everywhere(server, lambda c: c.get(target, Authorization=basic("carol", "second")).status, 200)
    assert status(token) == 401
    accounts.run("user", "rm", "carol")


def test_a_sign_in_that_lasts_can_be_ended_alone(client: Client, accounts: Accounts) -> None:
    def refresh_token() -> dict[str, str]:
        answer = fetch_token(client, authorization=header("bob"), offline_token="true", client_id="laptop")
        return {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}

    first, before = refresh_token(), set(accounts.sign_ins("bob"))
    second = refresh_token()
    (ended,) = set(accounts.sign_ins("bob")) - before
    assert "laptop" in accounts.run("token", "list").stdout
    accounts.run("token", "rm", ended)
    assert post_form(client, **second).status == 401
    assert post_form(client, **first).status == 200


def test_robots(server: ServerProcess, client: Client, accounts: Accounts) -> None:
    token = accounts.robot("ci", "pull,push:team/*")
    short = accounts.robot("short", "pull:team/*", expires="4s")
    target = "/v2/team/app/manifests/1"

    def sees(name: str, secret: str) -> None:
        everywhere(server, lambda c: c.get(target, Authorization=basic(name, secret)).status, 200)

    sees("robot$short", short)
    sees("robot$ci", token)
    sees("robot+ci", token)
    for name, secret in (("ci", token), ("robot$ci", token + "x"), ("robot$ci", ""), ("robot$x", token)):
        assert client.get(target, Authorization=basic(name, secret)).status == 401
    sent = bearer(client, "repository:team/app:pull,push", authorization=basic("robot$ci", token))
    assert client.get(target, Authorization=sent).status == 200
    assert client.get("/v2/private/app/manifests/1", Authorization=basic("robot$ci", token)).status == 403
    everywhere(server, lambda c: c.get(target, Authorization=basic("robot$short", short)).status, 401)
    assert "(over)" in accounts.run("token", "list").stdout
    accounts.run("token", "rm", "ci", "robot$short")
    everywhere(server, lambda c: c.get(target, Authorization=basic("robot$ci", token)).status, 401)
    everywhere(server, lambda c: c.get(target, Authorization=sent).status, 401)


def test_guessing_is_slowed_down(client: Client, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, workers=1, limits=UNLIMITED).start()
    accounts, client = Accounts(server), server.client()
    accounts.add("alice", "secret", "admin:**")
    accounts.add("bob", "other", "admin:**")
    eventually(lambda: client.get("/v2/").status, 401)
    eventually(lambda: client.get("/v2/", Authorization=basic("alice", "secret")).status, 200)
    statuses = [client.get("/v2/", Authorization=basic("alice", f"guess {n}")).status for n in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = fetch_token(client, authorization=basic("alice", "guess"))
    assert answer.status == 429 and 1 <= int(answer.header("Retry-After")) <= 2
    assert answer.codes == ["TOOMANYREQUESTS"]
    # Who was let in before is not kept out by others' guesses, and bob is another account.
    assert client.get("/v2/", Authorization=basic("alice", "secret")).status == 200
    eventually(lambda: client.get("/v2/", Authorization=basic("bob", "other")).status, 200)
    server.close()


def test_htpasswd_files_become_argon2(tmp_path: Path) -> None:
    bcrypt = pytest.importorskip("bcrypt")
    server = ServerProcess(tmp_path, workers=1, limits=UNLIMITED).start()
    accounts, client = Accounts(server), server.client()
    hashed = bcrypt.hashpw(b"old secret", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    (tmp_path / "htpasswd").write_text(f"# users\ndave:{hashed}\n\nerin:{hashed}\n")
    accounts.add("erin", "her own", "pull:**")
    done = accounts.run("user", "import", str(tmp_path / "htpasswd"), "--permission", "pull:**")
    assert done.stdout.split() == ["dave"] and "erin" in done.stderr
    eventually(lambda: client.get("/v2/").status, 401)
    eventually(lambda: client.get("/v2/", Authorization=basic("dave", "old secret")).status, 200)
    assert client.get("/v2/", Authorization=basic("erin", "old secret")).status == 401
    assert client.get("/v2/", Authorization=basic("dave", "wrong")).status == 401

    def stored() -> str:
        with sqlite3.connect(tmp_path / "registry" / "registry.db") as connection:
            (found,) = connection.execute("SELECT secret FROM accounts WHERE name = 'dave'").fetchone()
        connection.close()
        return str(found)

    eventually(lambda: stored().startswith("$argon2id$"))
    eventually(lambda: client.get("/v2/", Authorization=basic("dave", "old secret")).status, 200)
    server.close()


def test_replicas_on_postgresql_share_accounts_and_keys(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    first, second = (
        ServerProcess(tmp_path, workers=1, database=url, limits=UNLIMITED).start() for _ in range(2)
    )
    accounts = Accounts(first)
    accounts.add("alice", "secret", "pull,push:team/**")
    clients = [server.client() for server in (first, second)]
    for client in clients:
        eventually(lambda c=client: c.get("/v2/").status, 401)
        assert client.get("/v2/", Authorization=basic("alice", "secret")).status == 200
    token = bearer(clients[0], "repository:team/app:pull", authorization=basic("alice", "secret"))
    answer = fetch_token(clients[0], authorization=basic("alice", "secret"), offline_token="true")
    assert clients[1].get("/v2/team/app/tags/list", Authorization=token).status == 404
    fields = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}
    assert post_form(clients[1], **fields).status == 200
    accounts.run("user", "disable", "alice")
    for client in clients:
        eventually(lambda c=client: c.get("/v2/", Authorization=token).status, 401)
        assert post_form(client, **fields).status == 401
    for server in (first, second):
        server.close()
