"""hosts and resolv.conf, as Docker writes them."""

from pathlib import Path

import pytest

from corten.errors import InvalidArgument
from corten.network.files import host_resolv_conf, hosts_file, parse_extra_host, resolv_conf


def test_hosts_has_localhost_the_extra_ones_and_the_container() -> None:
    text = hosts_file(
        hostname="web",
        domainname="example.org",
        address="172.17.0.2",
        extra_hosts=["db:10.0.0.1", "six=fd00::1", "host.docker.internal:host-gateway"],
        gateway="172.17.0.1",
    )
    lines = text.splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert lines[-4:] == [
        "10.0.0.1\tdb",
        "fd00::1\tsix",
        "172.17.0.1\thost.docker.internal",
        "172.17.0.2\tweb.example.org web",
    ]


def test_host_gateway_needs_a_network() -> None:
    with pytest.raises(InvalidArgument, match="host-gateway"):
        hosts_file(hostname="a", extra_hosts=["h:host-gateway"])


@pytest.mark.parametrize(
    "entry", ["name", ":1.2.3.4", "name:", "name:1.2.3", "a b:1.2.3.4", "x:1.2.3.4\n6.6.6.6 y"]
)
def test_bad_extra_hosts(entry: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_extra_host(entry)


HOST = "# by hand\nnameserver 10.0.0.53\nnameserver 127.0.0.1\nsearch a.example b.example\noptions ndots:2\n"


def test_loopback_resolvers_are_left_out() -> None:
    assert resolv_conf(host_text=HOST) == (
        "nameserver 10.0.0.53\nsearch a.example b.example\noptions ndots:2\n"
    )


def test_only_loopback_resolvers_leave_the_forwarder_or_dockers() -> None:
    text = "nameserver 127.0.0.53\n"
    assert resolv_conf(host_text=text) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
    assert resolv_conf(host_text=text, forwarder="169.254.1.1") == "nameserver 169.254.1.1\n"


def test_the_host_network_sees_the_hosts_file() -> None:
    assert resolv_conf(host_text=HOST, host_network=True) == HOST


def test_options_take_the_place_of_the_hosts() -> None:
    text = resolv_conf(dns=["1.1.1.1"], search=["."], options=["rotate"], host_text=HOST)
    assert text == "nameserver 1.1.1.1\noptions rotate\n"
    with pytest.raises(InvalidArgument):
        resolv_conf(dns=["dns.example"], host_text=HOST)


def test_systemd_resolveds_real_file(tmp_path: Path) -> None:
    usual, real = tmp_path / "resolv.conf", tmp_path / "real"
    usual.write_text("nameserver 127.0.0.53\n")
    assert host_resolv_conf(usual, real) == usual
    real.write_text("nameserver 10.0.0.1\n")
    assert host_resolv_conf(usual, real) == real
    usual.write_text("nameserver 10.9.9.9\n")
    assert host_resolv_conf(usual, real) == usual
