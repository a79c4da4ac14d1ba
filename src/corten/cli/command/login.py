"""corten login: to a registry, once for all pulls and pushes."""

from __future__ import annotations

import os
import sys

from corten.cli.registry_request import TLS_VERIFY
from corten.errors import Denied, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten login [OPTIONS] [REGISTRY]"
DETAIL = """\
Without a registry, to Docker Hub. Credentials go to a helper where Docker's config.json names one,
else into that file, which only its owner can read. docker and corten share it."""
EXAMPLES = (
    "corten login registry.example:5000",
    "pass show registry | corten login -u me --password-stdin registry.example:5000",
)
ARGS = (0, 1)
OPTIONS = (
    (
        "password",
        "p",
        "str",
        "PASSWORD",
        "Password (everybody on this host can see it: use --password-stdin)",
    ),
    ("password-stdin", "", "bool", "", "Read the password from stdin"),
    ("username", "u", "str", "NAME", "User name"),
    TLS_VERIFY,
)


def run(session: Session, arguments: Arguments) -> int:
    """Runs the command."""
    from corten.client import credentials

    server = credentials.server_of(arguments.rest[0] if arguments.rest else "")
    username, password = arguments.text("username"), arguments.text("password")
    if arguments.has("password"):
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
        if arguments.on("password-stdin"):
            raise InvalidArgument("--password and --password-stdin are mutually exclusive")
    if arguments.on("password-stdin"):
        if not username:
            raise InvalidArgument("Must provide --username with --password-stdin")
        password = sys.stdin.read().rstrip("\r\n")
    if not username and not password and _known(session, arguments, server):
        print("Login Succeeded")
        return 0
    username, password = _ask(server, username, password)
    token = _check(session, arguments, {"username": username, "password": password, "serveraddress": server})
    where = credentials.store(server, username, password, token)
    if os.path.isabs(where):
        print(
            f"WARNING! Your password will be stored unencrypted in {where}.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/engine/reference/commandline/login/#credentials-store\n",
            file=sys.stderr,
        )
    print("Login Succeeded")
    return 0


def _check(session: Session, arguments: Arguments, account: dict[str, str]) -> str:
    query = {} if arguments.on("tls-verify", True) else {"tlsVerify": "0"}
    answer = session.post("/auth", query, json=account)
    return str((answer or {}).get("IdentityToken") or "")


def _known(session: Session, arguments: Arguments, server: str) -> bool:
    """Whether what is stored from an earlier login still holds."""
    from corten.client import credentials

    known = credentials.lookup(server)
    if known is None:
        return False
    print("Authenticating with existing credentials...", file=sys.stderr)
    account = {"serveraddress": server, **credentials.account_of(known)}
    try:
        _check(session, arguments, account)
    except Denied as error:
        print(f"Login did not succeed, error: {error.message}", file=sys.stderr)
        return False
    return True


def _ask(server: str, username: str, password: str) -> tuple[str, str]:
    """Asks for what was not given, the password without showing it."""
    if username and password:
        return username, password
    if not sys.stdin.isatty():
        raise InvalidArgument("Error: Cannot perform an interactive login from a non TTY device")
    import getpass

    print(f"Log in to {server}", file=sys.stderr)
    username = username or input("Username: ").strip()
    if not username:
        raise InvalidArgument("Error: Non-null Username Required")
    password = password or getpass.getpass("Password: ")
    if not password:
        raise InvalidArgument("Error: Password Required")
    return username, password
