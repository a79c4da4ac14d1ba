"""Any order of requests, against a model of what a registry is (hypothesis)."""

from __future__ import annotations

import itertools
import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.registry_server import OCI_INDEX, Image, ServerProcess, digest_of, index_of

REPOSITORIES = ["a", "b/c"]
TAGS = ["one", "two"]
CONTENTS = {"nothing": b"", "json": b"{}", "large": b"x" * 70_000, "layer": b"layer"}
KINDS = sorted(CONTENTS)
_RUNS = itertools.count()


class RegistryMachine(RuleBasedStateMachine):
    """The model: which blobs, manifests and tags each repository has, and how far each upload is."""

    server: ServerProcess

    uploads = Bundle("uploads")

    @initialize()
    def begin(self) -> None:
        self.client = self.server.client()
        self.prefix = f"run{next(_RUNS)}"
        self.blobs: dict[str, dict[str, bytes]] = {self.name(r): {} for r in REPOSITORIES}
        self.manifests: dict[str, dict[str, tuple[bytes, set[str]]]] = {r: {} for r in self.blobs}
        self.tags: dict[str, dict[str, str]] = {r: {} for r in self.blobs}
        self.sent: dict[str, bytes | None] = {}

    def name(self, repository: str) -> str:
        return f"{self.prefix}/{repository}"

    @rule(target=uploads, repository=st.sampled_from(REPOSITORIES))
    def begin_upload(self, repository: str) -> tuple[str, str]:
        location = self.client.begin(self.name(repository))
        self.sent[location] = b""
        return self.name(repository), location

    @rule(upload=uploads, kind=st.sampled_from(KINDS), right=st.booleans(), says=st.booleans())
    def send(self, upload: tuple[str, str], kind: str, right: bool, says: bool) -> None:
        data = CONTENTS[kind]
        _repository, location = upload
        sent = self.sent[location]
        headers = {}
        if says and data:
            start = len(sent or b"") + (0 if right else 7)
            headers["Content-Range"] = f"{start}-{start + len(data) - 1}"
        answer = self.client.request("PATCH", location, data, headers)
        if sent is None:
            assert answer.status == 404
        elif headers and not right:
            assert answer.status == 416
        else:
            assert answer.status == 202
            self.sent[location] = sent + data
            assert answer.header("Range") == f"0-{max(0, len(sent + data) - 1)}"

    @rule(upload=uploads)
    def ask(self, upload: tuple[str, str]) -> None:
        sent = self.sent[upload[1]]
        answer = self.client.get(upload[1])
        assert answer.status == (404 if sent is None else 204)
        if sent is not None:
            assert answer.header("Range") == f"0-{max(0, len(sent) - 1)}"

    @rule(
        upload=uploads,
        kind=st.sampled_from(KINDS),
        lies=st.booleans(),
        algorithm=st.sampled_from(["sha256", "sha512"]),
    )
    def finish(self, upload: tuple[str, str], kind: str, lies: bool, algorithm: str) -> None:
        data = CONTENTS[kind]
        repository, location = upload
        sent = self.sent[location]
        whole = (sent or b"") + data
        digest = digest_of(whole + (b"?" if lies else b""), algorithm)
        answer = self.client.finish(location, digest, data)
        self.sent[location] = None
        if sent is None:
            assert answer.status == 404
        elif lies:
            assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
        else:
            assert answer.status == 201
            self.blobs[repository][digest] = whole

    @rule(upload=uploads)
    def cancel(self, upload: tuple[str, str]) -> None:
        expected = 404 if self.sent[upload[1]] is None else 204
        assert self.client.delete(upload[1]).status == expected
        self.sent[upload[1]] = None

    @rule(
        source=st.sampled_from(REPOSITORIES),
        into=st.sampled_from(REPOSITORIES),
        kind=st.sampled_from(KINDS),
        named=st.booleans(),
    )
    def mount(self, source: str, into: str, kind: str, named: bool) -> None:
        data = CONTENTS[kind]
        digest = digest_of(data)
        path = f"/v2/{self.name(into)}/blobs/uploads/?mount={digest}"
        answer = self.client.request("POST", path + (f"&from={self.name(source)}" if named else ""), b"")
        if digest in self.blobs[self.name(source)]:
            assert answer.status == 201
        if answer.status == 201:
            assert not named or digest in self.blobs[self.name(source)]
            self.blobs[self.name(into)][digest] = data
        else:
            assert answer.status == 202
            assert self.client.delete(answer.header("Location")).status == 204

    @rule(
        repository=st.sampled_from(REPOSITORIES),
        config=st.sampled_from(KINDS),
        layers=st.lists(st.sampled_from(KINDS), max_size=2),
        tag=st.sampled_from([*TAGS, ""]),
    )
    def push_manifest(self, repository: str, config: str, layers: list[str], tag: str) -> None:
        image = Image(CONTENTS[config], tuple(CONTENTS[layer] for layer in layers))
        needed = {digest_of(blob) for blob in image.blobs}
        name = self.name(repository)
        answer = self.client.push_manifest(name, tag or image.digest, image.payload)
        if needed <= set(self.blobs[name]):
            assert answer.status == 201
            self.manifests[name][image.digest] = (image.payload, needed)
            if tag:
                self.tags[name][tag] = image.digest
        else:
            assert answer.status == 404
            assert len(answer.codes) == len(needed - set(self.blobs[name]))

    @precondition(lambda self: any(self.manifests.values()))
    @rule(data=st.data(), tag=st.sampled_from([*TAGS, ""]))
    def push_index(self, data: st.DataObject, tag: str) -> None:
        name = data.draw(st.sampled_from(sorted(n for n, found in self.manifests.items() if found)))
        child = data.draw(st.sampled_from(sorted(self.manifests[name])))
        listed = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": child,
            "size": len(self.manifests[name][child][0]),
        }
        payload = json.dumps({**json.loads(index_of()), "manifests": [listed]}).encode()
        answer = self.client.push_manifest(name, tag or digest_of(payload), payload, OCI_INDEX)
        assert answer.status == 201
        self.manifests[name][digest_of(payload)] = (payload, {child})
        if tag:
            self.tags[name][tag] = digest_of(payload)

    @rule(repository=st.sampled_from(REPOSITORIES), tag=st.sampled_from(TAGS))
    def delete_tag(self, repository: str, tag: str) -> None:
        name = self.name(repository)
        expected = 202 if self.tags[name].pop(tag, None) else 404
        assert self.client.delete(f"/v2/{name}/manifests/{tag}").status == expected

    def needed(self, name: str) -> set[str]:
        return {digest for _payload, needed in self.manifests[name].values() for digest in needed}

    @precondition(lambda self: any(self.manifests.values()))
    @rule(data=st.data())
    def delete_manifest(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(n for n, found in self.manifests.items() if found)))
        digest = data.draw(st.sampled_from(sorted(self.manifests[name])))
        answer = self.client.delete(f"/v2/{name}/manifests/{digest}")
        if digest in self.needed(name):
            assert answer.status == 405
        else:
            assert answer.status == 202
            del self.manifests[name][digest]
            self.tags[name] = {tag: to for tag, to in self.tags[name].items() if to != digest}

    @rule(repository=st.sampled_from(REPOSITORIES), kind=st.sampled_from(KINDS))
    def delete_blob(self, repository: str, kind: str) -> None:
        data = CONTENTS[kind]
        name, digest = self.name(repository), digest_of(data)
        answer = self.client.delete(f"/v2/{name}/blobs/{digest}")
        if digest not in self.blobs[name]:
            assert answer.status == 404
        elif digest in self.needed(name):
            assert answer.status == 405
        else:
            assert answer.status == 202
            del self.blobs[name][digest]

    @invariant()
    def the_registry_is_as_the_model(self) -> None:
        for name in self.blobs:
            listed = self.client.get(f"/v2/{name}/tags/list")
            tags = (listed.json()["tags"] or []) if listed.status == 200 else []
            assert tags == sorted(self.tags[name])
            for tag, digest in self.tags[name].items():
                answer = self.client.get(f"/v2/{name}/manifests/{tag}")
                assert answer.body == self.manifests[name][digest][0]
            for data in CONTENTS.values():
                answer = self.client.get(f"/v2/{name}/blobs/{digest_of(data)}")
                there = digest_of(data) in self.blobs[name]
                assert answer.status == (200 if there else 404)
                assert not there or answer.body == data
            for digest, (payload, _needed) in self.manifests[name].items():
                assert self.client.get(f"/v2/{name}/manifests/{digest}").body == payload

    def teardown(self) -> None:
        self.client.close()


def test_any_order_of_requests(server: ServerProcess) -> None:
    class Machine(RegistryMachine):
        pass

    Machine.server = server
    machine = Machine.TestCase
    machine.settings = settings(
        max_examples=15,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    machine("runTest").runTest()
    assert server.run("check", read_blobs=True).returncode == 0
