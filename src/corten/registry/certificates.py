"""Who a client is by the certificate that its connection was made with (mTLS).

The TLS layer has verified it: a name from here needs no password. An Access asks for it when a request
brings no Authorization.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web


def certificate_name(request: web.BaseRequest) -> str:
    """The common name in the subject of the verified client certificate; "" without one.

    Names with characters that are not printable, or longer than 256, count as none.
    """
    transport = request.transport
    if transport is None:
        return ""
    certificate = transport.get_extra_info("peercert")
    return common_name(certificate) if certificate else ""


def common_name(certificate: dict[str, Any]) -> str:
    """The last commonName of a subject in the shape of ssl.SSLSocket.getpeercert()."""
    name = ""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                name = str(value)
    return name if name.isprintable() and len(name) <= 256 else ""
