"""Subnets and addresses."""

import pytest

from corten.errors import Conflict, InvalidArgument
from corten.network.addresses import (
    POOLS,
    Subnet,
    check_address,
    check_mac,
    choose_subnet,
    gateway_of,
    mac_of,
    next_address,
)

NET = Subnet("10.1.0.0/29")


def test_a_subnet_that_nobody_routes() -> None:
    assert str(choose_subnet([])) == "172.17.0.0/16"
    assert str(choose_subnet([("172.17.5.0", 24), ("172.18.0.0", 16)])) == "172.19.0.0/16"
    assert str(choose_subnet([("172.16.0.0", 12)])) == "192.168.0.0/20"
    with pytest.raises(Conflict):
        choose_subnet([("172.16.0.0", 12), ("192.168.0.0", 16)])
    assert len(POOLS) == 31


def test_addresses_go_round_and_run_out() -> None:
    taken: set[str] = set()
    last = ""
    for expected in ("10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"):
        last = next_address(NET, taken, last)
        assert last == expected
        taken.add(last)
    with pytest.raises(Conflict, match="no available"):
        next_address(NET, taken, last)
    taken -= {"10.1.0.3", "10.1.0.6"}
    assert next_address(NET, taken, "10.1.0.3") == "10.1.0.6"
    assert next_address(NET, taken, "10.1.0.6") == "10.1.0.3"
    assert next_address(NET, set(), "172.17.0.9") == "10.1.0.2"


def test_requested_addresses() -> None:
    assert gateway_of(NET) == "10.1.0.1"
    assert check_address(NET, "10.1.0.4", set()) == "10.1.0.4"
    for bad in ("10.2.0.4", "10.1.0.0", "10.1.0.7", "x"):
        with pytest.raises(InvalidArgument):
            check_address(NET, bad, set())
    for used in ("10.1.0.1", "10.1.0.4"):
        with pytest.raises(Conflict, match="already in use"):
            check_address(NET, used, {"10.1.0.4"})


def test_mac_addresses() -> None:
    assert mac_of("172.17.0.2") == "02:42:ac:11:00:02"
    assert check_mac("02-42-AC-11-00-02") == "02:42:ac:11:00:02"
    for bad in ("02:42", "zz:42:ac:11:00:02", "01:00:5e:00:00:01", "00:00:00:00:00:00"):
        with pytest.raises(InvalidArgument):
            check_mac(bad)
