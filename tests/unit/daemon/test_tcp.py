"""Over TCP: programs of this host, and no web page."""

from __future__ import annotations

import http.client

import pytest

from corten.client.address import resolve
from corten.client.transport import Transport
from corten.daemon.listening import listen_tcp
from tests.unit.daemon.conftest import Served


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:2375"}, 200),
        ({"Host": "[::1]:2375"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:2375"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_web_pages_are_refused(served: Served, headers: dict[str, str], status: int) -> None:
    listener = listen_tcp("127.0.0.1:0")
    port = listener.getsockname()[1]
    served.run(served.daemon.listen(listener))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/_ping", headers=headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_our_own_client_is_let_in(served: Served, host: str) -> None:
    listener = listen_tcp("127.0.0.1:0")
    served.run(served.daemon.listen(listener))
    transport = Transport(resolve(f"tcp://{host}:{listener.getsockname()[1]}"))
    try:
        assert transport.request("GET", "/_ping").read() == b"OK"
    finally:
        transport.close()
