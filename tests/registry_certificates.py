"""Authorities and certificates for tests, and a registry that speaks TLS."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import os
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.registry_server import Client, ServerProcess


class Authority:
    """A certificate authority of its own."""

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.path = directory / "ca.crt"
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, stem: str, *, client: bool = False, address: str = "127.0.0.1"
    ) -> tuple[Path, Path]:
        """A certificate and its key, put in place by renaming; a server's is for one address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            _builder(subject, self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if not client:
            names: list[x509.GeneralName] = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address(address)),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        paths = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        texts = (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        for path, text in zip(paths, texts, strict=True):
            beside = path.with_suffix(".new")
            beside.write_bytes(text)
            os.replace(beside, path)
        return paths

    def trust(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """A client's context, with a certificate of its own when `pair` is given."""
        context = ssl.create_default_context(cafile=str(self.path))
        if pair is not None:
            context.load_cert_chain(*map(str, pair))
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


class TlsServer(ServerProcess):
    """A registry with a certificate of an authority of its own, which looks at its files all the time."""

    def __init__(self, directory: Path, tls: dict[str, Any] | None = None, **settings: Any) -> None:
        self.authority = Authority(directory / "ca")
        certificate, key = self.authority.issue("registry one", "server")
        super().__init__(
            directory,
            tls={
                "certificate": str(certificate),
                "key": str(key),
                "watch-seconds": 0.1,
                **(tls or {}),
            },
            **settings,
        )

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def tls_client(self, pair: tuple[Path, Path] | None = None) -> Client:
        """A connection that is closed with the server."""
        client = Client(self.url)
        client._connection = http.client.HTTPSConnection(
            self.host, timeout=60, context=self.authority.trust(pair)
        )
        self._clients.append(client)
        return client

    def certificate_name(self) -> str:
        """The common name in the certificate that a new connection is shown."""
        connection = http.client.HTTPSConnection(self.host, timeout=20, context=self.authority.trust())
        connection.connect()
        try:
            certificate = connection.sock.getpeercert()
            return dict(part[0] for part in certificate["subject"])["commonName"]
        finally:
            connection.close()
