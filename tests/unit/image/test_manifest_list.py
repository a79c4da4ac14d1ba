"""Lists of several platforms: made of what registries have, annotated, pushed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corten.errors import Conflict, NotFound
from corten.image.manifest_list import ManifestLists, push_list
from corten.oci.manifest import OCI_INDEX
from corten.oci.platform import Platform
from tests.unit.image.images import layer_of, sha256
from tests.unit.image.registry.fake import FakeRegistry, registries


async def test_from_create_to_push(tmp_path: Path) -> None:
    lists = ManifestLists(tmp_path / "lists")
    async with FakeRegistry() as fake, registries(tmp_path) as known:
        fake.add_image([layer_of("a")], "one")
        fake.add_image([layer_of("b")], "two", architecture="arm")
        name, one, two = (f"{fake.host}/{text}" for text in ("app:all", "app:one", "other:two"))
        made = await lists.create(name, [one], known, amend=False, insecure=False)
        assert [member.descriptor.platform for member in made.members] == [Platform("amd64", "linux")]
        with pytest.raises(Conflict, match="--amend"):
            await lists.create(name, [two], known, amend=False, insecure=False)
        await lists.create(name, [two], known, amend=True, insecure=False)
        lists.put(lists.need(name).annotated(two, Platform(variant="v7")))
        digest = await push_list(lists.need(name), known, insecure=False)
        kind, data = fake.manifests["all"]
        assert kind == OCI_INDEX and sha256(data) == digest
        entries = json.loads(data)["manifests"]
        assert [entry["digest"] for entry in entries] == [
            sha256(fake.manifests[tag][1]) for tag in ("one", "two")
        ]
        assert entries[1]["platform"] == {"architecture": "arm", "os": "linux", "variant": "v7"}
        # The image of the other repository was brought along, by its digest.
        assert fake.count("PUT", f"/app/manifests/{entries[1]['digest']}") == 1
        # A list can be a member as well: it counts with all its images.
        whole = await lists.create(f"{fake.host}/app:more", [name], known, amend=False, insecure=False)
        assert [member.descriptor.digest for member in whole.members] == [
            entry["digest"] for entry in entries
        ]


def test_names_that_are_unknown(tmp_path: Path) -> None:
    lists = ManifestLists(tmp_path)
    assert lists.get("a/b:1") is None
    for call in (lists.need, lists.remove):
        with pytest.raises(NotFound, match="a/b:1"):
            call("a/b:1")
