"""The runtime specification: Docker's defaults, options, and the time it takes."""

from __future__ import annotations

import time

import pytest

from corten.api.container import ContainerConfig
from corten.api.host_config import HostConfig, Ulimit
from corten.engine.record import Container, Definition, MountRecord, StateRecord
from corten.engine.spec.build import Surroundings, build_spec
from corten.oci.runtime_spec import Spec
from corten.runtime.execute_usual import Usual
from corten.runtime.plan import Directory, compile_plan
from corten.volume.driver import VolumeMount

ID = "0123456789ab" + "0" * 52


def make(
    config: ContainerConfig | None = None, mounts: list[MountRecord] | None = None, **host: object
) -> Container:
    options = {"network_mode": "none", "ipc_mode": "private", "cgroupns_mode": "private", **host}
    definition = Definition(
        config=config or ContainerConfig(),
        host_config=HostConfig(**options),  # type: ignore[arg-type]
        image_id="sha256:x",
        path="true",
        mounts=mounts or [],
    )
    return Container(ID, "name", 1, definition, StateRecord())


def build(container: Container, **around: object) -> Spec:
    surroundings = Surroundings(directory="/c", cgroup="/corten/x", **around)  # type: ignore[arg-type]
    return build_spec(container, surroundings, host_name="host")


def kinds(spec: Spec) -> list[str]:
    assert spec.linux is not None
    return [namespace.type for namespace in spec.linux.namespaces or ()]


def test_the_default() -> None:
    spec = build(make())
    assert spec.process is not None and spec.linux is not None
    assert spec.process.args == ("true",)
    assert spec.process.cwd == "/"
    assert spec.process.env[1:] == (f"HOSTNAME={ID[:12]}",)  # type: ignore[index]
    assert spec.hostname == ID[:12]
    assert kinds(spec) == ["mount", "network", "pid", "ipc", "uts", "cgroup"]
    assert [mount.destination for mount in spec.mounts or ()] == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/mqueue",
        "/dev/shm",
    ]
    assert "/proc/kcore" in (spec.linux.masked_paths or ())
    assert "/proc/sys" in (spec.linux.readonly_paths or ())
    assert spec.linux.seccomp is not None
    assert spec.process.capabilities is not None
    assert "CAP_SYS_ADMIN" not in (spec.process.capabilities.bounding or ())
    assert not spec.process.no_new_privileges


def test_privileged() -> None:
    spec = build(make(privileged=True))
    assert spec.process is not None and spec.linux is not None and spec.process.capabilities is not None
    assert "CAP_SYS_ADMIN" in (spec.process.capabilities.bounding or ())
    assert spec.linux.seccomp is None
    assert not spec.linux.masked_paths and not spec.linux.readonly_paths
    access = {m.destination: m.options for m in spec.mounts or ()}
    assert "rw" in (access["/sys"] or ())
    assert spec.linux.resources is not None and spec.linux.resources.devices is not None
    assert spec.linux.resources.devices[0].allow


@pytest.mark.parametrize(
    ("option", "value", "missing"),
    [
        ("network_mode", "host", "network"),
        ("pid_mode", "host", "pid"),
        ("ipc_mode", "host", "ipc"),
        ("uts_mode", "host", "uts"),
        ("cgroupns_mode", "host", "cgroup"),
    ],
)
def test_namespaces_of_the_host(option: str, value: str, missing: str) -> None:
    assert missing not in kinds(build(make(**{option: value})))


def test_namespaces_of_another_container() -> None:
    container = make(network_mode="container:x", pid_mode="container:x")
    spec = build(container, peers={"net": 77, "pid": 77})
    assert spec.linux is not None
    paths = {namespace.type: namespace.path for namespace in spec.linux.namespaces or ()}
    assert (paths["network"], paths["pid"]) == ("/proc/77/ns/net", "/proc/77/ns/pid")


def test_mounts_in_their_order_and_over_the_defaults() -> None:
    mounts = [
        MountRecord(type="tmpfs", destination="/dev/shm", options=("size=1m",)),
        MountRecord(type="bind", destination="/b", source="/src", rw=False, propagation="rslave"),
        MountRecord(type="volume", destination="/v", name="store", subpath="sub"),
    ]
    volumes = {"store": VolumeMount("bind", "/volumes/store/_data", ("rbind",), directory=True)}
    spec = build(make(mounts=mounts), volumes=volumes, files={"/etc/hosts": "/c/hosts"})
    found = {mount.destination: mount for mount in spec.mounts or ()}
    assert list(found)[-4:] == ["/etc/hosts", "/dev/shm", "/b", "/v"]
    assert found["/dev/shm"].options == ("size=1m",)
    assert found["/b"].options == ("rbind", "ro", "rslave")
    assert found["/v"].source == "/volumes/store/_data"
    assert found["/v"].options and "x-corten.subpath=sub" in found["/v"].options
    assert spec.linux is not None and spec.linux.rootfs_propagation == "slave"


def test_limits() -> None:
    mib = 1024 * 1024
    spec = build(
        make(
            memory=64 * mib,
            nano_cpus=1_500_000_000,
            pids_limit=-1,
            cpu_shares=512,
            ulimits=[Ulimit(name="nofile", soft=10, hard=-1)],
        )
    )
    assert spec.linux is not None and spec.linux.resources is not None and spec.process is not None
    resources = spec.linux.resources
    assert resources.memory is not None and resources.cpu is not None
    assert (resources.memory.limit, resources.memory.swap) == (64 * mib, 128 * mib)
    assert (resources.cpu.quota, resources.cpu.period, resources.cpu.shares) == (150_000, 100_000, 512)
    assert resources.pids is None
    assert spec.process.rlimits is not None
    assert (spec.process.rlimits[0].type, spec.process.rlimits[0].hard) == ("RLIMIT_NOFILE", 2**64 - 1)


def test_security_options() -> None:
    spec = build(make(security_opt=["no-new-privileges", "seccomp=unconfined", "apparmor=own"]))
    assert spec.process is not None and spec.linux is not None
    assert spec.process.no_new_privileges
    assert spec.process.apparmor_profile == "own"
    assert spec.linux.seccomp is None
    own = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}'
    spec = build(make(security_opt=["seccomp=" + own]))
    assert spec.linux is not None and spec.linux.seccomp is not None
    assert spec.linux.seccomp.default_action == "SCMP_ACT_ALLOW"


def test_it_takes_less_than_a_millisecond() -> None:
    container = make()
    build(container)
    best = 1.0
    for _ in range(50):
        begin = time.perf_counter()
        build(container)
        best = min(best, time.perf_counter() - begin)
    assert best < 0.001


@pytest.mark.root
def test_what_spares_have_made_in_advance_is_what_it_wants() -> None:

    def remaining(container: Container, **around: object) -> tuple[set[str], set[bytes]]:
        plan = compile_plan(
            build(container, **around), root=Directory(path="/c"), container_id=ID, bundle="/c"
        )
        usual = Usual()
        usual.make()
        try:
            left = usual.take(plan.child, plan.settings["clone_flags"])
            return {operation[0] for operation in left}, set(usual.mounts)
        finally:
            usual.discard()

    dev = {b"dev", b"dev/pts", b"dev/mqueue", b"dev/shm"}
    for container in (make(), make(ContainerConfig(tty=True))):
        operations, mounts = remaining(container)
        assert mounts == dev | {b"sys"}
        assert not operations & {"make_devices", "make_links"}
    operations, mounts = remaining(make(shm_size=1 << 20))
    assert mounts == {b"sys"} and "make_devices" in operations
    assert remaining(make(ipc_mode="none"))[1] == {b"sys"}
    assert remaining(make(network_mode="host"))[1] == dev
    assert remaining(make(ipc_mode="container:x"), peers={"ipc": 1})[1] == set()
