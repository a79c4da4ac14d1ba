import os

import pytest

from corten.errors import InvalidArgument
from corten.runtime.cgroup.device_rules import reduce_rules
from corten.runtime.devices import ALLOW_ALL, DEFAULT_RULES, DENY_ALL, host_devices, parse_device, parse_rule


@pytest.mark.parametrize(
    ("text", "path", "access"),
    [
        ("/dev/null", "/dev/null", "rwm"),
        ("/dev/null:r", "/dev/null", "r"),
        ("/dev/null:/dev/nothing", "/dev/nothing", "rwm"),
        ("/dev/null:/dev/nothing:rw", "/dev/nothing", "rw"),
    ],
)
def test_device_specifications(text, path, access):
    (node,), (rule,) = parse_device(text)
    assert (node.type, node.major, node.minor, node.path) == ("c", 1, 3, path)
    assert (rule.type, rule.major, rule.minor, rule.access, rule.allow) == ("c", 1, 3, access, True)


def test_a_symbolic_link_is_followed(tmp_path):
    os.symlink("/dev/zero", tmp_path / "link")
    (node,), _ = parse_device(f"{tmp_path}/link:/dev/inside")
    assert (node.minor, node.path) == (5, "/dev/inside")


def test_a_directory_gives_every_node_in_it():
    nodes, rules = parse_device("/dev:/dev/host:r")
    assert "/dev/host/null" in {node.path for node in nodes}
    assert all(rule.access == "r" for rule in rules)


@pytest.mark.parametrize(
    "text", ["", "/dev/null:relative", "/dev/null:/a:rwx", "/dev/null:/a:r:w", "/dev/no-such", "/etc/passwd"]
)
def test_wrong_devices_are_refused(text):
    with pytest.raises(InvalidArgument):
        parse_device(text)


def test_privileged_sees_the_hosts_nodes_but_not_its_terminals():
    paths = {node.path for node in host_devices()}
    assert "/dev/null" in paths
    assert not any(path.startswith(("/dev/pts/", "/dev/shm/")) or path == "/dev/console" for path in paths)


def test_cgroup_rules():
    rule = parse_rule("c 10:* rw")
    assert (rule.type, rule.major, rule.minor, rule.access) == ("c", 10, None, "rw")
    for wrong in ("c 10 rw", "x 1:1 r", "c 1:1 z", "c a:b r", ""):
        with pytest.raises(InvalidArgument):
            parse_rule(wrong)


def test_rules_reduce_to_a_default_and_exceptions():
    policy = reduce_rules((DENY_ALL, *DEFAULT_RULES, parse_rule("c 1:3 r")))
    assert not policy.allow
    assert dict(policy.exceptions)[("c", 1, 3)] == "rwm"
    assert dict(policy.exceptions)[("c", -1, -1)] == "m"
    everything = reduce_rules((DENY_ALL, *DEFAULT_RULES, ALLOW_ALL))
    assert everything.allow and everything.exceptions == ()
