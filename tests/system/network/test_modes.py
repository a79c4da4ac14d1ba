"""none, host, container:X, and what is not there yet."""

from __future__ import annotations

import pytest

from tests.system.network.conftest import PrivateHost

pytestmark = [pytest.mark.root]


def test_none_has_a_loopback_only_and_no_link_is_made(host: PrivateHost) -> None:
    text = host.corten("run", "--rm", "--network", "none", "busybox", "ip", "-o", "link").stdout
    names = {line.split(":")[1].strip().partition("@")[0] for line in text.splitlines()}
    assert "lo" in names
    assert "eth0" not in names
    assert "LOOPBACK,UP" in text
    assert host.links_of_ours() == []
    assert host.rules() == ""


def test_host_sees_the_hosts_links(host: PrivateHost) -> None:
    host.run("ip", "link", "add", "mark0", "type", "bridge")
    assert "mark0" in host.corten("run", "--rm", "--network", "host", "busybox", "ip", "link").stdout


def test_two_containers_share_one_network(host: PrivateHost) -> None:
    host.corten(
        "run",
        "-d",
        "--name",
        "first",
        "--network",
        "none",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        "/etc",
    )
    text = host.corten(
        "run", "--rm", "--network", "container:first", "busybox", "sh", "-c",
        "for i in 1 2 3 4 5; do wget -qO- http://127.0.0.1/not-executable && break; sleep 0.2; done",
    ).stdout  # fmt: skip
    assert text == "data\n"


def test_networks_are_listed_and_protected(host: PrivateHost) -> None:
    listed = host.corten("network", "ls", "--format", "{{.Name}} {{.Driver}}").stdout.split("\n")
    assert {"bridge bridge", "host host", "none null"} <= set(listed)
    removed = host.corten("network", "rm", "bridge", check=False)
    assert removed.returncode == 1
    assert "pre-defined" in removed.stderr
    created = host.corten("network", "create", "mine", check=False)
    assert created.returncode != 0
    assert "user-defined networks are not" in created.stderr
    six = host.corten("run", "--rm", "-p", "[::1]:8080:80", "busybox", "true", check=False)
    assert six.returncode == 125
    assert "cannot publish a port on [::1]" in six.stderr
    unknown = host.corten("run", "--rm", "--network", "nope", "busybox", "true", check=False)
    assert unknown.returncode == 125
    assert "network nope not found" in unknown.stderr
