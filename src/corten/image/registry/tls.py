"""TLS as Docker configures it: certs.d/<host>/{*.crt, *.cert + *.key} (docs.docker.com, "Verify repository
client with certificates")."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from corten.errors import InvalidArgument


def context_for(host: str, certs_dirs: Sequence[Path], *, insecure: bool) -> ssl.SSLContext:
    """System CAs, the CAs (`*.crt`) and client certificates (`NAME.cert` with `NAME.key`) of every
    certs.d/<host>; with `insecure` any certificate of the server passes. InvalidArgument."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for directory in certs_dirs:
        _load(context, directory / host)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load(context: ssl.SSLContext, directory: Path) -> None:
    try:
        files = sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError, OSError):
        return
    for file in files:
        try:
            if file.suffix == ".crt":
                context.load_verify_locations(cafile=str(file))
            elif file.suffix == ".cert":
                key = file.with_suffix(".key")
                if not key.exists():
                    raise InvalidArgument(f"missing key {key} for the client certificate {file}")
                context.load_cert_chain(str(file), str(key))
            elif file.suffix == ".key" and not file.with_suffix(".cert").exists():
                raise InvalidArgument(
                    f"missing client certificate {file.with_suffix('.cert')} for key {file}"
                )
        except (ssl.SSLError, OSError) as error:
            raise InvalidArgument(f"cannot read the certificate {file}: {error}") from error
