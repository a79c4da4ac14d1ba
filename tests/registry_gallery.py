"""A registry with everything that the page shows: images of several platforms and layers, charts, SBOMs,
signatures, and what somebody has pushed to harm whoever looks at it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from tests.registry_server import (
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Client,
    descriptor,
    digest_of,
)

OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
SPDX = "application/spdx+json"
COSIGN = "application/vnd.dev.cosign.artifact.sig.v1+json"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
WASM = "application/vnd.wasm.config.v0+json"

HOSTILE = "<script>alert(1)</script>"
BIDI = "user\u202enimda\u2066"


def tar_of(files: Mapping[str, bytes | str | None], mode: int = 0o644) -> bytes:
    """A layer: bytes are a file, a text is a symbolic link's target, None a directory."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode = mode
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return output.getvalue()


def layer_of(files: Mapping[str, bytes | str | None], mode: int = 0o644) -> bytes:
    """`tar_of`, compressed, the same each time."""
    return gzip.compress(tar_of(files, mode), 1, mtime=0)


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress."""
    import random

    return random.Random(seed).randbytes(size)


class Gallery:
    """Pushes to a registry."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def image(
        self,
        repository: str,
        tag: str,
        layers: Sequence[bytes],
        *,
        config: Mapping[str, Any] | None = None,
        history: Sequence[str] = (),
        platform: str = "linux/amd64",
        annotations: Mapping[str, str] | None = None,
        created: str = "2026-03-01T12:00:00Z",
    ) -> dict[str, Any]:
        """Pushes an image by `tag` ("": by its digest), and returns its descriptor. `history` are commands;
        one that begins with "=" makes no layer."""
        system, architecture, *variant = platform.split("/")
        document: dict[str, Any] = {
            "created": created,
            "os": system,
            "architecture": architecture,
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            "history": [
                {"created_by": step.removeprefix("="), **({"empty_layer": True} if step[:1] == "=" else {})}
                for step in history
            ],
        }
        if variant:
            document["variant"] = variant[0]
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.blob(repository, json.dumps(document).encode(), OCI_CONFIG),
            "layers": [self.blob(repository, layer, OCI_LAYER_GZIP) for layer in layers],
        }
        if annotations:
            manifest["annotations"] = dict(annotations)
        found = self.manifest(repository, tag, manifest)
        parts = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        return {**found, "platform": parts}

    def index(self, repository: str, tag: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Pushes an index over descriptors of `image`."""
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [dict(child) for child in children],
            **more,
        }
        return self.manifest(repository, tag, document)

    def artifact(
        self,
        repository: str,
        tag: str,
        artifact_type: str,
        data: bytes,
        media_type: str = "",
        *,
        subject: dict[str, Any] | None = None,
        config: tuple[bytes, str] = (b"{}", OCI_EMPTY),
        title: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Pushes an artifact of one blob, which may refer to a subject."""
        content = self.blob(repository, data, media_type or artifact_type)
        if title:
            content["annotations"] = {"org.opencontainers.image.title": title}
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.blob(repository, *config),
            "layers": [content],
        }
        if artifact_type:
            document["artifactType"] = artifact_type
        if subject is not None:
            document["subject"] = {key: subject[key] for key in ("mediaType", "digest", "size")}
        if annotations:
            document["annotations"] = dict(annotations)
        return self.manifest(repository, tag, document)

    def blob(self, repository: str, data: bytes, media_type: str) -> dict[str, Any]:
        digest = digest_of(data)
        if self.client.head(f"/v2/{repository}/blobs/{digest}").status != 200:
            self.client.push_blob(repository, data)
        return descriptor(data, media_type)

    def manifest(self, repository: str, tag: str, document: Mapping[str, Any]) -> dict[str, Any]:
        payload = json.dumps(document).encode()
        media_type = str(document["mediaType"])
        answer = self.client.push_manifest(repository, tag or digest_of(payload), payload, media_type)
        assert answer.status == 201, answer.body
        return descriptor(payload, media_type)


def base_layer(architecture: str = "amd64") -> bytes:
    """What several images begin with."""
    return layer_of(
        {
            "bin": "usr/bin",
            "etc/": None,
            "etc/os-release": b'NAME="Example Linux"\nVERSION_ID=12\n',
            "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
            "usr/bin/": None,
            "usr/bin/busybox": noise(900_000, len(architecture)),
            "usr/bin/sh": "busybox",
            "usr/lib/libc.so.6": noise(1_800_000, 7),
            "var/cache/list": b"old\n" * 200,
        }
    )


def fill(client: Client) -> Gallery:
    """A small company's registry."""
    gallery = Gallery(client)
    base = base_layer()
    gallery.image(
        "base/example-linux",
        "12",
        [base],
        history=["/bin/sh -c #(nop) ADD file:7f3c in / ", '=/bin/sh -c #(nop)  CMD ["sh"]'],
        config={"Cmd": ["sh"], "Env": ["PATH=/usr/bin"]},
        annotations={"org.opencontainers.image.description": "A small base for other images"},
    )
    _shop(gallery, base)
    _web(gallery, base)
    _artifacts(gallery)
    return gallery


def _shop(gallery: Gallery, base: bytes) -> None:
    """An image with a long history, of which two versions differ."""
    packages = layer_of(
        {
            "usr/lib/python3/": None,
            **{f"usr/lib/python3/module_{number}.py": noise(9000, number) for number in range(60)},
            "usr/lib/libssl.so.3": noise(700_000, 3),
            "var/cache/.wh.list": b"",
        }
    )
    for version, application in (
        (
            "1.4.0",
            {
                "app/main.py": b"print('1.4')\n",
                "app/old.py": b"x = 1\n" * 500,
                "app/data.bin": noise(120_000),
            },
        ),
        (
            "1.5.0",
            {"app/main.py": b"print('1.5')\n" * 3, "app/data.bin": noise(190_000), "app/new.py": b"y\n" * 99},
        ),
    ):
        gallery.image(
            "shop/checkout-service",
            version,
            [
                base,
                packages,
                layer_of({"app/": None, **application}),
                layer_of({"app/entrypoint": b"#!"}, 0o755),
            ],
            created=f"2026-0{version[2]}-11T09:30:00Z",
            config={
                "Entrypoint": ["/app/entrypoint", "--serve"],
                "Cmd": ["--port", "8080"],
                "User": "10001:10001",
                "WorkingDir": "/app",
                "ExposedPorts": {"8080/tcp": {}, "9090/tcp": {}},
                "Volumes": {"/data": {}},
                "StopSignal": "SIGTERM",
                "Env": ["PATH=/usr/local/bin:/usr/bin", f"SHOP_VERSION={version}", "PYTHONUNBUFFERED=1"],
                "Labels": {
                    "org.opencontainers.image.title": "Checkout service",
                    "org.opencontainers.image.description": "Takes orders and asks for money",
                    "org.opencontainers.image.source": "https://git.example.com/shop/checkout",
                    "org.opencontainers.image.version": version,
                    "com.example.team": "payments",
                },
            },
            history=[
                "/bin/sh -c #(nop) ADD file:7f3c in / ",
                '=/bin/sh -c #(nop)  CMD ["sh"]',
                "RUN /bin/sh -c apt-get update && apt-get install -y python3 libssl3 # buildkit",
                "=ENV PYTHONUNBUFFERED=1",
                "COPY . /app # buildkit",
                "COPY --chmod=755 entrypoint /app/entrypoint # buildkit",
                "=USER 10001:10001",
                '=ENTRYPOINT ["/app/entrypoint" "--serve"]',
            ],
        )


def _web(gallery: Gallery, base: bytes) -> None:
    """An image for several platforms, with what was attached to it."""
    name = "shop/web-frontend"
    for version in ("2.0.0", "2.1.0", "latest"):
        seed = len(version) + int(version[2]) if version[0] == "2" else 8
        children = [
            gallery.image(
                name,
                "",
                [
                    base if platform == "linux/amd64" else base_layer(platform),
                    layer_of(
                        {"srv/www/app.js": noise(400_000, seed), "srv/www/index.html": b"<!doctype html>"}
                    ),
                ],
                platform=platform,
                config={"Cmd": ["httpd", "-f"], "Labels": {"com.example.team": "storefront"}},
                history=["ADD file:7f3c in /", "COPY dist /srv/www # buildkit"],
            )
            for platform in ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")
        ]
        found = gallery.index(
            name,
            version,
            *children,
            annotations={"org.opencontainers.image.description": "What customers see"},
        )
    gallery.artifact(
        name,
        "",
        SPDX,
        json.dumps({"spdxVersion": "SPDX-2.3", "packages": []}).encode(),
        subject=found,
        title="web-frontend.spdx.json",
        annotations={"org.opencontainers.image.created": "2026-03-02T08:00:00Z"},
    )
    gallery.artifact(
        name,
        f"{found['digest'].replace(':', '-')}.sig",
        "",
        json.dumps({"critical": {"type": "cosign container image signature"}}).encode(),
        "application/vnd.dev.cosign.simplesigning.v1+json",
        config=(
            b'{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}',
            OCI_CONFIG,
        ),
    )
    gallery.artifact(name, "", COSIGN, b"MEUCIQ", subject=found)


def _artifacts(gallery: Gallery) -> None:
    chart = {
        "name": "checkout",
        "version": "1.5.0",
        "description": "Installs the checkout service",
        "apiVersion": "v2",
        "appVersion": "1.5.0",
        "home": "javascript:alert(1)",
    }
    gallery.artifact(
        "charts/checkout",
        "1.5.0",
        "",
        layer_of({"checkout/Chart.yaml": b"name: checkout\n", "checkout/values.yaml": b"replicas: 2\n"}),
        HELM_CONTENT,
        config=(json.dumps(chart).encode(), HELM_CONFIG),
    )
    gallery.artifact(
        "edge/resize",
        "0.3",
        "application/vnd.wasm.content.layer.v1+wasm",
        b"\0asm\1\0\0\0" + noise(40_000),
        "application/wasm",
        config=(b'{"os":"wasip1","architecture":"wasm"}', WASM),
        title="resize.wasm",
    )


def push_hostile(gallery: Gallery, repository: str = "evil/image") -> dict[str, Any]:
    """An image that tries everything on whoever looks at it."""
    return gallery.image(
        repository,
        "x",
        [
            layer_of(
                {
                    f"etc/{HOSTILE}": b"1",
                    "../../escape": b"2",
                    f"home/{BIDI}": b"3",
                    "new\nline": b"4",
                    "tmp/link": f"/{HOSTILE}",
                }
            )
        ],
        config={
            "Entrypoint": [HOSTILE, '" onmouseover="alert(1)'],
            "User": BIDI,
            "Env": [f"{HOSTILE}={HOSTILE}", "LONG=" + "x" * 100_000],
            "Labels": {
                HOSTILE: HOSTILE,
                "org.opencontainers.image.source": "javascript:alert(document.domain)",
                "org.opencontainers.image.url": 'https://example.com/"onclick="alert(1)',
                "org.opencontainers.image.description": f"{HOSTILE} {BIDI}",
                "huge": "y" * 200_000,
            },
        },
        history=[f"RUN {HOSTILE}", "=ENV A=" + "z" * 50_000],
        annotations={"data": "data:text/html,<script>alert(1)</script>", BIDI: "x"},
    )
