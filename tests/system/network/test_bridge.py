"""The default bridge: addresses, published ports, isolation, removal, recovery."""

from __future__ import annotations

import json
import sys

import pytest

from tests.system.conftest import cgroups_of
from tests.system.network.conftest import PrivateHost

pytestmark = [pytest.mark.root]

TCP_SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 80)); print("ready", flush=True)
while True:
    client, peer = server.accept(); client.sendall(("hello " + peer[0]).encode()); client.close()
"""
UDP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 81)); print("ready", flush=True)
while True:
    data, peer = server.recvfrom(100); server.sendto(data.upper(), peer)
"""


def tcp(address: str, port: int) -> str:
    return (
        f"import socket; s = socket.create_connection(({address!r}, {port}), timeout=3);"
        " s.settimeout(3); print(s.recv(100).decode())"
    )


def udp(address: str, port: int) -> str:
    return (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3);"
        f" s.sendto(b'abc', ({address!r}, {port})); print(s.recv(100).decode())"
    )


def test_a_container_has_an_address_a_route_and_its_files(host: PrivateHost) -> None:
    script = "ip -o -4 addr show eth0; ip route; ip link show lo; cat /etc/hosts /sys/class/net/eth0/address"
    text = host.corten("run", "--rm", "--add-host", "up:host-gateway", "busybox", "sh", "-c", script).stdout
    assert "inet 172.17.0.2/16" in text
    assert "default via 172.17.0.1" in text
    assert "LOOPBACK,UP" in text
    assert "172.17.0.1\tup" in text
    assert "172.17.0.2\t" in text
    assert "02:42:ac:11:00:02" in text


def test_published_ports_from_the_host_and_from_containers(host: PrivateHost) -> None:
    host.corten(
        "run", "-d", "--name", "web", "-p", "18080:80", "-p", "127.0.0.1:18081:81/udp", "-p", "82",
        "busybox", "sleep", "100",
    )  # fmt: skip
    servers = [host.serve("web", TCP_SERVER), host.serve("web", UDP_SERVER)]
    try:
        assert host.python(tcp("127.0.0.1", 18080)).startswith("hello 172.17.0.1")
        assert host.python(udp("127.0.0.1", 18081)) == "ABC\n"
        assert host.python(tcp("172.17.0.2", 80)).startswith("hello 172.17.0.1")
        host.corten("run", "-d", "--name", "other", "busybox", "sleep", "100")
        assert host.python(tcp("172.17.0.2", 80), inside="other").startswith("hello 172.17.0.3")
        assert host.python(tcp("172.17.0.1", 18080), inside="other").startswith("hello")
        assert host.python(tcp("172.17.0.1", 18080), inside="web").startswith("hello")
        ports = json.loads(host.corten("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web").stdout)
        assert ports["80/tcp"] == [{"HostIp": "0.0.0.0", "HostPort": "18080"}]
        assert ports["81/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "18081"}]
        assert 1024 < int(ports["82/tcp"][0]["HostPort"]) < 65536
        # What listens on the host's loopback is not for containers, whatever route_localnet says.
        refused = host.python(tcp("127.0.0.1", 18080), inside="other", check=False)
        assert refused == ""
    finally:
        for server in servers:
            server.kill()
            server.communicate()


def test_nobody_outside_reaches_what_is_not_published(host: PrivateHost) -> None:
    """A second namespace, one cable away, that routes the containers' subnet to the host."""
    host.corten(
        "run", "-d", "--name", "web", "-p", "18080:80", "-p", "127.0.0.1:18082:80", "busybox", "sleep", "100"
    )
    server = host.serve("web", TCP_SERVER)
    host.corten("run", "-d", "--name", "outsider", "--network", "none", "busybox", "sleep", "100")
    pid = host.corten("inspect", "-f", "{{.State.Pid}}", "outsider").stdout.strip()
    try:
        host.run("ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", pid)
        host.run("ip", "addr", "add", "198.51.100.1/24", "dev", "cable0")
        host.run("ip", "link", "set", "cable0", "up")
        inside = ("nsenter", "-t", pid, "--net", "ip")
        host.run(*inside, "addr", "add", "198.51.100.2/24", "dev", "cable1")
        host.run(*inside, "link", "set", "cable1", "up")
        host.run(*inside, "route", "add", "default", "via", "198.51.100.1")
        published = host.python(tcp("198.51.100.1", 18080), inside="outsider")
        assert published.startswith("hello 198.51.100.2"), "a published port keeps the client's address"
        for address, port in (("172.17.0.2", 80), ("198.51.100.1", 18082)):
            assert host.python(tcp(address, port), inside="outsider", check=False) == "", (address, port)
        # The way out is masqueraded: the outside sees the host.
        outside = host.serve("outsider", TCP_SERVER)
        assert host.python(tcp("198.51.100.2", 80), inside="web") == "hello 198.51.100.1\n"
        outside.kill()
        outside.communicate()
    finally:
        server.kill()
        server.communicate()


def test_a_port_in_use_is_refused_and_leaves_nothing(host: PrivateHost) -> None:
    host.corten("run", "-d", "--name", "first", "-p", "18080:80", "busybox", "sleep", "100")
    second = host.corten("run", "--name", "second", "-p", "18080:80", "busybox", "true", check=False)
    assert second.returncode == 125
    assert "Bind for 0.0.0.0:18080 failed: port is already allocated" in second.stderr
    identity = host.corten("inspect", "-f", "{{.Id}}", "second").stdout.strip()
    assert not cgroups_of({identity})
    program = "import socket; socket.create_server(('0.0.0.0', 18080))"
    taken = host.run(sys.executable, "-c", program, check=False)
    assert "Address already in use" in taken.stderr, "the engine holds the port while it is published"
    host.corten("rm", "-f", "first", "second")
    host.wait_for(lambda: not [name for name in host.links_of_ours() if name.startswith("veth")])
    host.corten("run", "--rm", "-p", "18080:80", "busybox", "true")


def test_a_program_of_the_host_on_the_port(host: PrivateHost) -> None:
    listener = host.run(
        "sh", "-c", "busybox nc -l -p 18090 >/dev/null 2>&1 & echo $!", check=True
    ).stdout.strip()  # fmt: skip
    try:
        host.wait_for(lambda: ":18090" in host.run("ss", "-lnt").stdout)
        done = host.corten("run", "--rm", "-p", "18090:80", "busybox", "true", check=False)
        assert done.returncode == 125
        assert "0.0.0.0:18090/tcp: address already in use" in done.stderr
    finally:
        host.run("kill", listener, check=False)


def test_nothing_is_left_after_the_last_container(host: PrivateHost) -> None:
    host.corten("run", "-d", "--name", "web", "-p", "18080:80", "busybox", "sleep", "100")
    assert any(name.startswith("corten-") for name in host.links())
    assert "172.17.0.2 . 80" in host.rules()
    host.corten("rm", "-f", "web")
    assert "172.17.0.2" not in host.rules()
    host.corten("engine", "stop")
    host.wait_for(lambda: host.links_of_ours() == [])
    assert host.rules() == ""


def test_the_next_engine_goes_on_with_what_runs_and_removes_the_rest(host: PrivateHost) -> None:
    for name, port in (("stays", 18080), ("goes", 18081)):
        host.corten("run", "-d", "--name", name, "-p", f"{port}:80", "busybox", "sleep", "100")
    server = host.serve("stays", TCP_SERVER)
    pid = host.corten("inspect", "-f", "{{.State.Pid}}", "goes").stdout.strip()
    host.kill_engine()
    assert host.python(tcp("127.0.0.1", 18080)).startswith("hello"), "packets need no engine"
    host.run("kill", "-9", pid)
    host.run("ip", "link", "add", "veth-stray", "type", "veth", "peer", "name", "stray1")
    bridge = next(name for name in host.links() if name.startswith("corten-"))
    host.run("ip", "link", "set", "veth-stray", "master", bridge)
    assert host.corten("ps", "--format", "{{.Names}}").stdout == "stays\n"
    assert "18081" not in host.rules()
    assert host.python(tcp("127.0.0.1", 18080)).startswith("hello")
    host.wait_for(lambda: len(host.links_of_ours()) == 2)  # the bridge, and one port
    again = host.corten("run", "--rm", "-p", "18080:80", "busybox", "true", check=False)
    assert "port is already allocated" in again.stderr
    address = host.corten("run", "--rm", "busybox", "hostname", "-i").stdout.strip()
    assert address not in ("172.17.0.2", ""), "the address of the one that stays is leased"
    server.kill()
    server.communicate()


def test_flushed_rules_come_back_with_the_next_published_port(host: PrivateHost) -> None:
    host.corten("run", "-d", "--name", "one", "-p", "18080:80", "busybox", "sleep", "100")
    host.run("nft", "flush", "ruleset")
    host.corten("run", "-d", "--name", "two", "-p", "18081:80", "busybox", "sleep", "100")
    rules = host.rules()
    assert "18080 : 172.17.0.2 . 80" in rules
    assert "18081 : 172.17.0.3 . 80" in rules


def test_a_subnet_that_the_host_routes_is_left_alone(host: PrivateHost) -> None:
    host.run("ip", "link", "add", "other0", "type", "bridge")
    host.run("ip", "addr", "add", "172.17.5.1/24", "dev", "other0")
    host.run("ip", "link", "set", "other0", "up")
    assert host.corten("run", "--rm", "busybox", "hostname", "-i").stdout == "172.18.0.2\n"
    shown = json.loads(host.corten("network", "inspect", "bridge").stdout)[0]
    assert shown["IPAM"]["Config"][0]["Subnet"] == "172.18.0.0/16"


def test_without_nft_the_sentence_names_the_remedy(host: PrivateHost) -> None:
    host.corten("engine", "stop")
    program = "import os, sys; os.environ['PATH'] = '/nowhere'; from corten.network import firewall as f;" + (
        " f.shutil.which = lambda *a, **k: None; f.run_nft('list ruleset')"
    )
    said = host.run(sys.executable, "-c", program, check=False).stderr
    assert "the command nft is not installed; install it with `apt-get install nftables`" in said
