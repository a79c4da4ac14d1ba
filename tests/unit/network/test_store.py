"""Networks and leases in SQLite."""

import sqlite3

import msgspec
import pytest

from corten.errors import Conflict, NotFound
from corten.network.model import Endpoint, Network
from corten.network.store import NetworkStore

BRIDGE = Network("abc1" + "0" * 60, "bridge", "bridge", 1, subnet="10.1.0.0/24")
OTHER = Network("abc2" + "0" * 60, "other", "bridge", 2)


def store(*, private: bool = False) -> NetworkStore:
    made = NetworkStore(sqlite3.connect(":memory:", isolation_level=None), private_addresses=private)
    made.put_network(BRIDGE)
    made.put_network(OTHER)
    return made


def endpoint(container: str, address: str) -> Endpoint:
    return Endpoint("e" + container, BRIDGE.id, "bridge", container, address=address)


def test_networks_are_found_by_name_id_and_prefix() -> None:
    networks = store()
    assert networks.network("bridge") == networks.network(BRIDGE.id) == networks.network("abc1") == BRIDGE
    with pytest.raises(Conflict, match="ambiguous"):
        networks.network("abc")
    with pytest.raises(NotFound, match="network nope not found"):
        networks.network("nope")


def test_a_network_is_replaced_by_its_id() -> None:
    networks = store()
    networks.put_network(msgspec.structs.replace(BRIDGE, subnet="10.2.0.0/24"))
    assert [network.subnet for network in networks.networks()] == ["10.2.0.0/24", ""]


def test_an_address_is_leased_once_and_freed_with_its_endpoint() -> None:
    leases = store()
    leases.put_endpoint(endpoint("a", "10.1.0.2"))
    with pytest.raises(Conflict, match=r"10\.1\.0\.2"):
        leases.put_endpoint(endpoint("b", "10.1.0.2"))
    assert leases.leased(BRIDGE.id) == {"10.1.0.2"}
    leases.delete_endpoint(endpoint("a", "10.1.0.2"))
    leases.put_endpoint(endpoint("b", "10.1.0.2"))
    assert [e.container_id for e in leases.endpoints()] == ["b"]
    assert leases.endpoints(container_id="a") == []


def test_private_addresses_need_no_lease() -> None:
    leases = store(private=True)
    leases.put_endpoint(endpoint("a", "10.0.2.100"))
    leases.put_endpoint(endpoint("b", "10.0.2.100"))
    assert len(leases.endpoints(network_id=BRIDGE.id)) == 2
