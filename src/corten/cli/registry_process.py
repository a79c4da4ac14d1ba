"""The registry's own process: what the commands of `corten registry` become."""

from __future__ import annotations

import os
import sys

from corten.client import autostart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from corten.cli.options import Arguments, Option

# Where a registry lies: the same for every command that looks after one.
PLACE_OPTIONS: tuple[Option, ...] = (
    ("config", "c", "str", "FILE", "A TOML file with the registry's configuration; options override it"),
    ("database", "", "str", "URL", "Metadata: sqlite:///PATH or postgresql://… (default: below --root)"),
    ("root", "", "str", "DIR", "Where images and metadata are kept (default /var/lib/corten-registry)"),
    (
        "storage",
        "",
        "str",
        "URL",
        "Blobs: file:///DIR, s3://BUCKET/PREFIX, gs://…, az://… (default: below --root)",
    ),
    ("storage-option", "", "list", "KEY=VALUE", "What the object store needs: endpoint, region, keys"),
)


def place(arguments: Arguments) -> dict[str, object]:
    """The part of the configuration that `PLACE_OPTIONS` sets."""
    found: dict[str, object] = {
        name: arguments.text(name) for name in ("database", "root", "storage") if arguments.has(name)
    }
    if "root" in found:
        found["root"] = os.path.abspath(str(found["root"]))
    if arguments.has("storage-option"):
        found["storage-options"] = dict(
            option.partition("=")[::2] for option in arguments.many("storage-option")
        )
    return found


def become(verb: str, request: dict[str, object]) -> NoReturn:
    """Replaces this process by the registry's."""
    import json

    command = [*autostart.module_command("corten.registry"), verb, json.dumps(request)]
    sys.stdout.flush()
    os.execv(command[0], command)


def become_accounts(verb: str, action: str, arguments: Arguments) -> NoReturn:
    """Becomes `corten registry user ACTION` or `token ACTION`.

    Secrets come by standard input or the terminal: everybody on this machine sees a process's arguments.
    """
    permissions = arguments.many("permission")
    if arguments.on("admin"):
        permissions = [*permissions, "admin:**"]
    asked: dict[str, object] = {
        "action": action,
        "names": arguments.rest,
        "permissions": permissions,
        "password-stdin": arguments.on("password-stdin"),
        "open": arguments.on("open"),
        "expires": arguments.text("expires", "90d"),
        "format": arguments.text("format", "table"),
    }
    become(verb, {"file": arguments.text("config"), "set": place(arguments), "accounts": asked})
