from __future__ import annotations

import json

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("sqlalchemy")

from corten.errors import IntegrityError
from corten.registry.page.config_blob import parse_config
from corten.registry.page.document import MOST_ENTRIES


def test_an_image() -> None:
    document = {
        "os": "linux",
        "architecture": "amd64",
        "config": {
            "Entrypoint": ["/bin/sh", "-c", "exit 1"],
            "Cmd": None,
            "Env": ["A=b=c", "EMPTY", 5],
            "ExposedPorts": {"80/tcp": {}},
            "Labels": {"a": "b"},
            "Healthcheck": {"Test": ["CMD", "true"]},
        },
        "history": [
            {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
            {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
            {"created_by": "RUN /bin/sh -c make # buildkit"},
            {"created_by": "RUN |1 VERSION=1 /bin/sh -c make"},
        ],
    }
    found = parse_config(json.dumps(document).encode())
    assert found.fields == (
        ("Entrypoint", "/bin/sh -c 'exit 1'"),
        ("Ports", "80/tcp"),
        ("Health check", "CMD true"),
    )
    assert found.environment == {"A": "b=c", "EMPTY": ""}
    assert [(step.command, step.layer) for step in found.steps] == [
        ("ADD file:1 in /", 0),
        ('CMD ["sh"]', -1),
        ("RUN make", 1),
        ("RUN make", 2),
    ]
    assert found.platform == "linux/amd64"


@pytest.mark.parametrize(
    "document",
    [
        {"config": []},
        {"config": {"Env": {"a": 1}, "Labels": ["x"], "Entrypoint": 7, "User": 5, "ExposedPorts": "80"}},
        {"history": {"a": 1}},
        {"history": ["x", None, {"created_by": 5, "empty_layer": "yes"}]},
        {"os": {}},
    ],
)
def test_fields_of_other_types_are_left_out(document: object) -> None:
    assert parse_config(json.dumps(document).encode()).problem == ""


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 200_000, b"\xff"])
def test_what_is_no_config(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_config(data)


def test_long_histories_are_cut() -> None:
    found = parse_config(json.dumps({"history": [{"created_by": "x"}] * (MOST_ENTRIES + 7)}).encode())
    assert (len(found.steps), found.more_steps) == (MOST_ENTRIES, 7)
