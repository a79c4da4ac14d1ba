"""Tables and placeholders, against what `docker` prints for the same objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corten.cli import listing, rows, usage
from corten.errors import InvalidArgument

CONTAINER: dict[str, Any] = {
    "Id": "2100dde6d5c2933c3e084c8e78402ee9bfb1099c93d1bf0ab617450e7acae392",
    "Names": ["/one", "/two/alias"],
    "Image": "busybox",
    "ImageID": "sha256:05b0",
    "Command": "sh -c 'sleep 100; echo done'",
    "Created": 1136214245,
    "Ports": [],
    "Labels": {"b": "2", "a": "1"},
    "State": "exited",
    "Status": "Exited (0) 2 hours ago",
    "SizeRw": 12,
    "SizeRootFs": 1984012,
    "Mounts": [{"Type": "volume", "Name": "a-volume-with-a-long-name", "Driver": "local"}],
    "NetworkSettings": {"Networks": {"none": {}}},
}


def render(items: list[Any], style: str = "", quiet: str = "", size: bool = False) -> str:
    columns = ("ID", "Image", "Command", "Status", "Ports", "Names", *(("Size",) if size else ()))
    return listing.render(items, headers=rows.CONTAINER_HEADERS, columns=columns, style=style, quiet=quiet)


def test_the_table_of_ps() -> None:
    assert render([rows.container(CONTAINER)], size=True) == (
        "CONTAINER ID   IMAGE     COMMAND                  STATUS                   PORTS     NAMES     "
        "SIZE\n"
        '2100dde6d5c2   busybox   "sh -c \'sleep 100; e…"   Exited (0) 2 hours ago             one       '
        "12B (virtual 1.98MB)\n"
    )


def test_formats() -> None:
    row = rows.container(CONTAINER)
    assert render([row], '{{.Names}}: {{.Label "a"}} {{.Mounts}}') == "one: 1 a-volume-with-…\n"
    assert render([row], "table {{.ID}}\\t{{.Names}}") == "CONTAINER ID   NAMES\n2100dde6d5c2   one\n"
    assert render([row], 'table {{.Names}}\t{{.Label "a"}}') == "NAMES     a\none       1\n"
    assert render([row], quiet="ID") == "2100dde6d5c2\n"
    decoded = json.loads(render([row], "json"))
    assert list(decoded) == sorted(decoded)
    assert (decoded["ID"], decoded["Labels"], decoded["Networks"]) == ("2100dde6d5c2", "a=1,b=2", "none")
    assert json.loads(render([row], "{{json .}}")) == decoded
    assert json.loads(render([row], "{{json .Names}}")) == "one"


def test_nothing_shortened() -> None:
    row = rows.container(CONTAINER, whole=True)
    assert row["ID"] == CONTAINER["Id"]
    assert row["Command"] == "\"sh -c 'sleep 100; echo done'\""
    assert row["Names"] == "one,two/alias"


def port(private: int, public: int | None = None, ip: str = "0.0.0.0", kind: str = "tcp") -> dict[str, Any]:
    found: dict[str, Any] = {"PrivatePort": private, "Type": kind}
    return found | ({"PublicPort": public, "IP": ip} if public else {})


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], ""),
        ([port(80)], "80/tcp"),
        ([port(80, 8080)], "0.0.0.0:8080->80/tcp"),
        ([port(80, 8080), port(80, 8080, "::")], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        ([port(82, 8002), port(80, 8000), port(81, 8001)], "0.0.0.0:8000-8002->80-82/tcp"),
        ([port(80, 8000), port(81, 9000)], "0.0.0.0:8000->80/tcp, 0.0.0.0:9000->81/tcp"),
        ([port(80), port(81), port(443)], "80-81/tcp, 443/tcp"),
        ([port(53, 53, kind="udp"), port(53, 53)], "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp"),
    ],
)
def test_ports(items: list[Any], expected: str) -> None:
    assert rows.ports(items) == expected


def test_images_have_a_row_a_name() -> None:
    image = {
        "Id": "sha256:05b06ba1663ee121528e58bb34464f58cbef193bd77b12680040dbcb28660b59",
        "RepoTags": ["busybox:1", "host:5000/base/busybox:latest"],
        "RepoDigests": ["busybox@sha256:aa"],
        "Created": 0,
        "Size": 1984000,
    }
    found = [
        (row["Repository"], row["Tag"], row["Digest"], row["ID"], row["Size"]) for row in rows.images(image)
    ]
    assert found == [
        ("busybox", "1", "sha256:aa", "05b06ba1663e", "1.98MB"),
        ("host:5000/base/busybox", "latest", "<none>", "05b06ba1663e", "1.98MB"),
    ]
    nameless = rows.images({**image, "RepoTags": [], "RepoDigests": []})
    assert [(row["Repository"], row["Tag"]) for row in nameless] == [("<none>", "<none>")]


def test_filters() -> None:
    encoded = listing.filters(["status=exited", "label=a=b", "status=dead"])
    assert json.loads(encoded["filters"]) == {"status": ["exited", "dead"], "label": ["a=b"]}
    assert listing.filters([]) == {}
    with pytest.raises(InvalidArgument):
        listing.filters(["status"])


def sample(total: int, system: int) -> dict[str, Any]:
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": total}, "system_cpu_usage": system, "online_cpus": 2},
        "memory_stats": {"usage": 3 << 20, "limit": 64 << 20, "stats": {"inactive_file": 1 << 20}},
        "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}, "eth1": {"rx_bytes": 500, "tx_bytes": 0}},
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"major": 8, "minor": 0, "op": "Read", "value": 4096},
                {"major": 8, "minor": 0, "op": "write", "value": 8192},
            ]
        },
        "pids_stats": {"current": 3},
    }


def test_usage() -> None:
    before, after = sample(1_000, 10_000), sample(2_000, 14_000)
    row = usage.row("web", "4b1c" * 16, "web", before["cpu_stats"], after, False)
    assert row == {
        "Container": "web",
        "ID": "4b1c4b1c4b1c",
        "Name": "web",
        "CPUPerc": "50.00%",
        "MemUsage": "2MiB / 64MiB",
        "MemPerc": "3.12%",
        "NetIO": "1.5kB / 2kB",
        "BlockIO": "4.1kB / 8.19kB",
        "PIDs": "3",
    }
    stopped = usage.row("web", "4b1c" * 16, "web", {"cpu_usage": {}}, None, False)
    assert (stopped["CPUPerc"], stopped["MemUsage"]) == ("--", "-- / --")
