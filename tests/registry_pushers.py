"""Clients that push and delete images all the time, and know what has been acknowledged to them."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import threading
import time
from collections.abc import Iterator

from tests.registry_server import Client, Image, digest_of, make_image

GONE = (OSError, http.client.HTTPException)
LAYERS = [f"shared layer {number}" for number in range(4)]


class Pusher(threading.Thread):
    """One client, on a repository of its own: pushes images that share layers with the others', and deletes
    some of them."""

    def __init__(self, number: int, url: str) -> None:
        super().__init__(daemon=True)
        self.repository = f"pushers/client{number}"
        self.known: dict[str, Image] = {}
        self.doubtful: set[str] = set()
        self.pushed = 0
        self.stop = threading.Event()
        self.wrong: list[str] = []
        self._url = url
        self._random = random.Random(number)

    def run(self) -> None:
        client = Client(self._url, timeout=30)
        while not self.stop.is_set():
            try:
                self._step(client)
            except GONE:
                client.close()
                time.sleep(0.02)
        client.close()

    def _step(self, client: Client) -> None:
        if len(self.known) > 5 or (self.known and self._random.random() < 0.3):
            tag = self._random.choice(sorted(self.known))
            image = self.known.pop(tag)
            self.doubtful.add(tag)  # until the answer is here, it may be there or not
            answer = client.delete(f"/v2/{self.repository}/manifests/{image.digest}")
            if answer.status in (202, 404):
                self.doubtful.discard(tag)
            return
        self.pushed += 1
        tag = f"t{self.pushed}"
        own = os.urandom(self._random.choice((10, 5_000, 2_000_000)))
        base = make_image(f"{self.repository} {tag}", layers=0)
        shared = self._random.choice(LAYERS).encode() * 3000
        image = Image(base.config, (shared, own))
        for blob in image.blobs:
            if not self._push_blob(client, blob):
                return
        self.doubtful.add(tag)
        answer = client.push_manifest(self.repository, tag, image.payload)
        if answer.status == 201:
            self.known[tag] = image
            self.doubtful.discard(tag)
        elif answer.status < 500:
            # A blob that a push was told of went away too soon; only time may do that, and the grace is
            # half a second.
            self.doubtful.discard(tag)

    def _push_blob(self, client: Client, blob: bytes) -> bool:
        digest = digest_of(blob)
        if client.head(f"/v2/{self.repository}/blobs/{digest}").status == 200:
            return True
        begun = client.request("POST", f"/v2/{self.repository}/blobs/uploads/", b"")
        if begun.status != 202:
            return False
        location = begun.header("Location")
        if self._random.random() < 0.5:
            half = len(blob) // 2
            sent = client.request("PATCH", location, blob[:half], {"Content-Range": f"0-{half - 1}"})
            if sent.status != 202:
                return False
            return client.finish(sent.header("Location"), digest, blob[half:]).status == 201
        return client.finish(location, digest, blob).status == 201


def verify(client: Client, pusher: Pusher) -> None:
    """Every image that was acknowledged can be pulled; every tag that is there leads to a whole image."""
    for tag, image in pusher.known.items():
        answer = client.get(f"/v2/{pusher.repository}/manifests/{tag}")
        assert answer.status == 200, f"{pusher.repository}:{tag} was acknowledged, and is gone"
        assert digest_of(answer.body) == image.digest
    listed = client.get(f"/v2/{pusher.repository}/tags/list")
    tags = listed.json().get("tags") or [] if listed.status == 200 else []
    assert set(tags) <= set(pusher.known) | pusher.doubtful
    for tag in tags:
        document = client.get(f"/v2/{pusher.repository}/manifests/{tag}").json()
        for descriptor in (document["config"], *document["layers"]):
            blob = client.get(f"/v2/{pusher.repository}/blobs/{descriptor['digest']}")
            assert blob.status == 200, f"{pusher.repository}:{tag} lacks {descriptor['digest']}"
            assert digest_of(blob.body) == descriptor["digest"]


@contextlib.contextmanager
def pushing(url: str, count: int) -> Iterator[list[Pusher]]:
    """So many clients, until the end of the block."""
    pushers = [Pusher(number, url) for number in range(count)]
    for pusher in pushers:
        pusher.start()
    try:
        yield pushers
    finally:
        for pusher in pushers:
            pusher.stop.set()
        for pusher in pushers:
            pusher.join(60)
