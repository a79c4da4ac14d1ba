"""Networks, endpoints and address leases in the engine's database. A lease is the endpoint's row: no third
state.
"""

from __future__ import annotations

import sqlite3

import msgspec

from corten.errors import Conflict, NotFound
from corten.network.model import Endpoint, Network

_TABLES = """
CREATE TABLE IF NOT EXISTS networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS endpoints (
    container_id TEXT NOT NULL,
    network_id TEXT NOT NULL REFERENCES networks(id),
    address TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (container_id, network_id)
);
CREATE UNIQUE INDEX IF NOT EXISTS leases ON endpoints (network_id, address) WHERE address != '';
"""

NetworkList = list[Network]
EndpointList = list[Endpoint]


class NetworkStore:
    """The two tables. The connection is in autocommit mode, so every statement is a transaction."""

    def __init__(self, connection: sqlite3.Connection, *, private_addresses: bool = False) -> None:
        """`private_addresses`: every container is alone in its network, so that addresses need no lease."""
        self._connection = connection
        self._private = private_addresses
        self._networks: NetworkList | None = None  # as in the table: only this engine changes it
        connection.executescript(_TABLES)

    def put_network(self, network: Network) -> None:
        """Adds a network, or replaces the one with its id."""
        self._networks = None
        self._connection.execute(
            "INSERT INTO networks VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
            (network.id, network.name, msgspec.json.encode(network)),
        )

    def networks(self) -> NetworkList:
        """All networks, in the order in which they were made."""
        if self._networks is None:
            rows = self._connection.execute("SELECT data FROM networks ORDER BY rowid")
            self._networks = [msgspec.json.decode(data, type=Network) for (data,) in rows]
        return list(self._networks)

    def network(self, name_or_id: str) -> Network:
        """By name, id or unique prefix of an id; NotFound, or Conflict when a prefix fits several."""
        networks = self.networks()
        for exact in networks:
            if name_or_id in (exact.name, exact.id):
                return exact
        fitting = [network for network in networks if name_or_id and network.id.startswith(name_or_id)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise Conflict(
                f"network {name_or_id} is ambiguous ({len(fitting)} matches found based on ID prefix)"
            )
        raise NotFound(f"network {name_or_id} not found")

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Adds an endpoint (and its lease), or replaces the container's; Conflict when the address is
        leased.
        """
        lease = "" if self._private else endpoint.address
        try:
            self._connection.execute(
                "INSERT INTO endpoints VALUES (?, ?, ?, ?) ON CONFLICT (container_id, network_id)"
                " DO UPDATE SET address = excluded.address, data = excluded.data",
                (endpoint.container_id, endpoint.network_id, lease, msgspec.json.encode(endpoint)),
            )
        except sqlite3.IntegrityError as error:
            raise Conflict(f"Address already in use: {endpoint.address}") from error

    def delete_endpoint(self, endpoint: Endpoint) -> None:
        """Forgets an endpoint, which frees its address."""
        self._connection.execute(
            "DELETE FROM endpoints WHERE container_id = ? AND network_id = ?",
            (endpoint.container_id, endpoint.network_id),
        )

    def endpoints(self, *, container_id: str = "", network_id: str = "") -> EndpointList:
        """All endpoints, or those of a container or of a network."""
        values: tuple[str, ...]
        if container_id:
            query, values = "SELECT data FROM endpoints WHERE container_id = ?", (container_id,)
        elif network_id:
            query, values = "SELECT data FROM endpoints WHERE network_id = ? ORDER BY rowid", (network_id,)
        else:
            query, values = "SELECT data FROM endpoints ORDER BY rowid", ()
        rows = self._connection.execute(query, values)
        return [msgspec.json.decode(data, type=Endpoint) for (data,) in rows]

    def leased(self, network_id: str) -> set[str]:
        """The addresses given out in a network."""
        rows = self._connection.execute(
            "SELECT address FROM endpoints WHERE network_id = ? AND address != ''", (network_id,)
        )
        return {address for (address,) in rows}
