"""The runtime specification as values."""

from __future__ import annotations

import json

import pytest

from corten.errors import InvalidArgument
from corten.oci import runtime_spec as s


def test_names_are_the_specification_s():
    spec = s.Spec(
        process=s.Process(args=("sh",), exec_cpu_affinity=s.ExecCPUAffinity(initial="0")),
        linux=s.Linux(
            uid_mappings=(s.IDMapping(container_id=0, host_id=1, size=2),),
            cgroups_path="/x",
            resources=s.Resources(
                block_io=s.BlockIO(
                    throttle_read_iops_device=(s.ThrottleDevice(major=8, minor=0, rate=9),),
                    throttle_write_bps_device=(s.ThrottleDevice(major=8, minor=0, rate=9),),
                ),
                memory=s.Memory(kernel_tcp=1, disable_oom_killer=True),
                network=s.NetworkResources(class_id=3),
            ),
            intel_rdt=s.IntelRdt(clos_id="a"),
        ),
    )
    text = s.encode(spec).decode()
    for name in (
        "ociVersion",
        "containerID",
        "hostID",
        "cgroupsPath",
        "blockIO",
        "throttleReadIOPSDevice",
        "throttleWriteBpsDevice",
        "kernelTCP",
        "disableOOMKiller",
        "classID",
        "closID",
        "execCPUAffinity",
        "uidMappings",
    ):
        assert f'"{name}"' in text
    assert s.decode(text.encode()) == spec


def test_required_fields_are_written_and_defaults_are_not():
    document = json.loads(s.encode(s.Spec(process=s.Process(args=("a",)), root=s.Root())))
    assert document == {
        "ociVersion": s.VERSION,
        "process": {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
    }


def test_unknown_fields_are_ignored_and_null_lists_are_empty():
    spec = s.decode(b'{"ociVersion":"1.0.2-dev","future":{},"mounts":null,"process":{"cwd":"/","args":null}}')
    assert spec.mounts is None
    assert spec.process is not None
    assert spec.process.args is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "config.json"),
        (b'{"ociVersion":"2.0.0"}', "2.0.0"),
        (b'{"ociVersion":"1.0.0","process":{"cwd":3}}', "process.cwd"),
        (b"\xff", "config.json"),
    ],
)
def test_bad_documents_say_what_and_where(data, words):
    with pytest.raises(InvalidArgument) as caught:
        s.decode(data)
    assert words in caught.value.message


def test_parts_alone():
    assert s.decode_process(b'{"cwd":"/x","args":["a"]}').cwd == "/x"
    assert s.decode_resources(b'{"pids":{"limit":3}}').pids == s.Pids(limit=3)


def test_state():
    state = json.loads(s.encode(s.State(id="a", status="running", pid=3, bundle="/b")))
    assert state == {
        "ociVersion": s.VERSION,
        "id": "a",
        "status": "running",
        "pid": 3,
        "bundle": "/b",
        "annotations": {},
    }
