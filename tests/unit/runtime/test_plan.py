"""Specs compiled to plans: what is decided before anything runs."""

from __future__ import annotations

import marshal

import msgspec
import pytest

from corten.errors import InvalidArgument, Unsupported
from corten.linux import mount as m
from corten.linux import namespace as n
from corten.oci import runtime_spec as s
from corten.runtime.capabilities import DEFAULT_CAPABILITIES
from corten.runtime.mount_options import parse_options
from corten.runtime.operations import Plan
from corten.runtime.plan import Directory, Overlay, compile_exec, compile_plan
from corten.runtime.plan_process import parse_cpus
from corten.runtime.plan_provided import FileMount, LayeredMount
from corten.runtime.seccomp_profile import default_profile

KINDS = ("mount", "pid", "network", "ipc", "uts", "cgroup")


def spec(**fields):
    process = fields.pop("process", {})
    linux = fields.pop("linux", {})
    namespaces = linux.pop("namespaces", tuple(s.Namespace(type=kind) for kind in KINDS))
    return s.Spec(
        process=s.Process(**({"args": ("true",)} | process)),
        linux=s.Linux(namespaces=namespaces, **linux),
        **fields,
    )


def plan(value, **options):
    options = {"root": Directory(path="rootfs")} | options
    return compile_plan(value, container_id="id", bundle="/bundle", **options)


def operations(made, name):
    return [operation[1:] for operation in made.child if operation[0] == name]


def test_survives_marshal():
    made = plan(spec(hostname="h", linux={"sysctl": {"net.core.somaxconn": "5"}}))
    again = Plan.from_primitive(marshal.loads(marshal.dumps(made.to_primitive())))
    assert again.to_primitive() == made.to_primitive()
    assert again.describe() == made.describe()


def test_cgroup_and_time_namespaces_are_made_by_the_child():
    kinds = (*KINDS, "time")
    made = plan(spec(linux={"namespaces": tuple(s.Namespace(type=kind) for kind in kinds)}))
    assert not made.settings["clone_flags"] & (n.CLONE_NEWCGROUP | n.CLONE_NEWTIME)
    assert made.settings["clone_flags"] & n.CLONE_NEWPID
    names = [operation[0] for operation in made.child]
    assert "unshare_cgroup" in names
    assert "unshare_time" in names
    assert not made.settings["shares"]


def test_a_namespace_by_path_is_joined_before_the_clone():
    joined = (s.Namespace(type="mount"), s.Namespace(type="pid"), s.Namespace(type="network", path="/run/ns"))
    made = plan(spec(linux={"namespaces": joined}))
    assert made.parent == (("born_in", "network", n.CLONE_NEWNET, "/run/ns", "/proc/self/ns/net"),)
    assert not made.settings["clone_flags"] & n.CLONE_NEWNET
    assert not operations(made, "interface_up")


@pytest.mark.parametrize(
    ("options", "shares"),
    [({}, True), ({"hold": True}, True), ({"init": True}, False)],
)
def test_memory_is_shared_only_with_a_child_that_needs_no_word(options, shares):
    assert plan(spec(), **options).settings["shares"] is shares


@pytest.mark.parametrize(
    ("seccomp", "shares"),
    [
        (s.Seccomp(default_action="SCMP_ACT_ALLOW"), True),
        (s.Seccomp(default_action="SCMP_ACT_KILL"), False),
        (
            s.Seccomp(
                default_action="SCMP_ACT_ALLOW",
                syscalls=(s.Syscall(names=("rt_sigprocmask",), action="SCMP_ACT_KILL"),),
            ),
            False,
        ),
        (default_profile(DEFAULT_CAPABILITIES), True),
    ],
)
def test_memory_is_not_shared_under_a_filter_that_may_kill_before_exec(seccomp, shares):
    assert plan(spec(linux={"seccomp": seccomp})).settings["shares"] is shares


def test_overlay_with_options():
    root = Overlay(lowers=("/l2", "/l1"), upper="/c/upper", work="/c/work", volatile=True, readonly=True)
    made = plan(spec(), root=root)
    lowers, options, mountpoint = operations(made, "mount_overlay")[0]
    assert lowers == (b"/l2", b"/l1")
    assert options[:3] == (b"upperdir=/c/upper", b"workdir=/c/work", b"volatile")
    assert mountpoint == b"/c"
    assert operations(made, "read_only_root") == [()]


def test_seccomp_comes_last_with_no_new_privileges_and_before_the_user_without():
    filter_ = s.Seccomp(
        default_action="SCMP_ACT_ALLOW", syscalls=(s.Syscall(names=("mkdir",), action="SCMP_ACT_ERRNO"),)
    )
    capabilities = s.Capabilities(bounding=("CAP_CHOWN",))
    for wanted in (True, False):
        value = spec(
            process={"no_new_privileges": wanted, "capabilities": capabilities}, linux={"seccomp": filter_}
        )
        names = [operation[0] for operation in plan(value).child]
        if wanted:
            assert names[-1] == "seccomp"
        else:
            assert names.index("seccomp") < names.index("drop_bounding") < names.index("set_user")


def test_unknown_capability_is_a_warning():
    made = plan(spec(process={"capabilities": s.Capabilities(bounding=("CAP_FUTURE",))}))
    assert made.warnings == ("capability CAP_FUTURE is unknown here and left out",)


def test_ambient_needs_permitted_and_inheritable():
    sets = s.Capabilities(permitted=("CAP_KILL",), ambient=("CAP_KILL",))
    made = plan(spec(process={"capabilities": sets}))
    assert "CAP_KILL" in made.warnings[0]
    assert operations(made, "set_capabilities") == [(0, 32, 0, ())]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (spec(process={"args": ()}), "no arguments"),
        (spec(process={"cwd": "x"}), "absolute"),
        (spec(mounts=(s.Mount(destination="/", type="tmpfs"),)), "root"),
        (spec(mounts=(s.Mount(destination="/x", type="bind"),)), "no source"),
        (spec(mounts=(s.Mount(destination="/x"),)), "no type"),
        (spec(mounts=(s.Mount(destination="/x", type="proc", options=("tmpcopyup",)),)), "tmpcopyup"),
        (spec(linux={"sysctl": {"kernel.panic": "1"}}), "kernel.panic"),
        (spec(linux={"sysctl": {"net/../../x": "1"}}), "sysctl"),
        (spec(linux={"devices": (s.Device(type="x", path="/dev/x"),)}), "type"),
        (spec(linux={"namespaces": (s.Namespace(type="user"), s.Namespace(type="mount"))}), "uidMappings"),
        (spec(linux={"namespaces": ()}, mounts=(s.Mount(destination="/x", type="proc"),)), "mount namespace"),
        (spec(process={"env": ("A=\0",)}), "zero byte"),
        (
            spec(process={"capabilities": s.Capabilities(effective=("CAP_KILL",))}),
            "effective but not permitted",
        ),
    ],
)
def test_wrong_specifications(value, words):
    with pytest.raises(InvalidArgument) as caught:
        plan(value)
    assert words in caught.value.message


def test_what_is_not_implemented_is_said():
    notify = s.Seccomp(default_action="SCMP_ACT_ALLOW", listener_path="/x")
    with pytest.raises(Unsupported):
        plan(spec(linux={"seccomp": notify}))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", b"sys/net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", b"sys/net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", b"sys/net/ipv4/conf/eth0.1/forwarding"),
        ("kernel.shmmax", b"sys/kernel/shmmax"),
    ],
)
def test_sysctl_names(name, path):
    assert operations(plan(spec(linux={"sysctl": {name: "1"}})), "write_proc") == [(path, b"1")]


def test_binds_that_share_with_the_host_are_opened_by_the_parent():
    def binds(*options):
        return plan(spec(mounts=(s.Mount(destination="/d", type="bind", source="/s", options=options),)))

    assert binds("rbind", "rprivate").parent == ()
    assert binds("rbind", "rslave").parent == (("clone_tree", b"/s", True, None, b""),)
    assert operations(binds("rbind", "rslave"), "bind")[0][1] == 0


def test_relative_source_is_the_bundle_s():
    made = plan(spec(mounts=(s.Mount(destination="/d", type="bind", source="data", options=("bind",)),)))
    assert operations(made, "bind")[0][:2] == (b"d", b"/bundle/data")


class TestMountOptions:
    def test_later_ones_win(self):
        assert parse_options(("ro", "rw")).flags == 0
        assert parse_options(("rw", "ro")).flags == m.MS_RDONLY

    def test_data_is_what_is_left(self):
        options = parse_options(("nosuid", "size=1m", "mode=700"))
        assert (options.flags, options.data) == (m.MS_NOSUID, ("size=1m", "mode=700"))

    def test_attributes_of_a_bind(self):
        assert parse_options(("bind", "ro", "noatime")).attributes(bind=True) == (
            m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOATIME,
            m.MOUNT_ATTR__ATIME,
            0,
            0,
            0,
            0,
        )
        assert parse_options(("bind",)).attributes(bind=True) is None

    def test_recursive(self):
        options = parse_options(("rbind", "rro", "rslave"))
        assert options.attributes(bind=True) == (0, 0, 0, m.MOUNT_ATTR_RDONLY, 0, m.MS_SLAVE)


def test_exec_joins_what_the_container_has_of_its_own():
    made = compile_exec(s.Process(args=("true",)), container_pid=7, container_start=9, spec=spec())
    assert made.parent == (("open_container", 7, 9, True),)
    flags = operations(made, "join_namespaces")[0][1]
    assert flags & n.CLONE_NEWNS
    assert not flags & n.CLONE_NEWPID
    assert made.settings["joins"] is True


@pytest.mark.parametrize(("text", "cpus"), [("0", (0,)), ("0-2,7", (0, 1, 2, 7))])
def test_cpu_lists(text, cpus):
    assert parse_cpus(text) == cpus


def test_hooks_must_be_absolute():
    value = msgspec.structs.replace(spec(), hooks=s.Hooks(prestart=(s.Hook(path="x"),)))
    with pytest.raises(InvalidArgument):
        plan(value)


def test_more_mounts_come_after_the_specifications_and_in_their_order():
    layered = LayeredMount(
        destination="/src", lowers=("/layer",), scratch="/scratch", empty="/empty", part="/a/b/"
    )
    made = plan(
        spec(mounts=(s.Mount(destination="/tmp", type="tmpfs", source="tmpfs"),)),
        more_mounts=(
            layered,
            s.Mount(destination="/src/x", type="bind", source="/host", options=("rbind",)),
            FileMount(destination="/run/secrets/x", content=b"s", scratch="/scratch", uid=7),
        ),
    )
    names = [operation[0] for operation in made.child]
    order = [names.index(name) for name in ("mount", "mount_layers", "bind", "mount_file", "pivot")]
    assert order == sorted(order)
    assert operations(made, "mount_layers") == [(b"src", (b"/layer", b"/empty"), (), b"a/b", b"/scratch")]
    target, content, owner, attributes, _scratch = operations(made, "mount_file")[0]
    assert (target, content, owner) == (b"run/secrets/x", b"s", (0o400, 7, 0))
    assert attributes & m.MOUNT_ATTR_NOEXEC
    assert attributes & m.MOUNT_ATTR_RDONLY


def test_a_layered_mount_that_can_be_written_to():
    layered = LayeredMount(
        destination="/src", lowers=("/b", "/a"), scratch="/s", empty="/e", upper="/upper", work="/work"
    )
    made = plan(spec(), more_mounts=(layered,))
    (operation,) = operations(made, "mount_layers")
    assert operation[1] == (b"/b", b"/a")
    assert {b"upperdir=/upper", b"workdir=/work"} <= set(operation[2])
    with pytest.raises(InvalidArgument, match="root"):
        plan(spec(), more_mounts=(FileMount(destination="/", content=b"", scratch="/s"),))
