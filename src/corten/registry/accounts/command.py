"""What `corten registry user` and `corten registry token` become: the database, the audit log, who asks."""

from __future__ import annotations

import os
import pwd
from typing import Any

import msgspec

from corten.errors import InvalidArgument
from corten.registry.access import Identity
from corten.registry.accounts import administration, token_administration
from corten.registry.accounts.administration import Changes, Request
from corten.registry.accounts.preparing import require_libraries
from corten.registry.audit_log import auditing
from corten.registry.config import Config
from corten.registry.metadata.database import Database


def run(config: Config, verb: str, asked: Any) -> int:
    """The exit code. `asked` is a `Request` as JSON has it."""
    try:
        request = msgspec.convert(asked, Request)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"invalid option: {error}") from error
    require_libraries()
    database = Database(config.database_url)
    try:
        database.migrate()
        with auditing(config) as audit:
            changes = Changes(database, audit, Identity(_who()))
            if verb == "user":
                return administration.run(request, changes)
            return token_administration.run(request, changes, config.tokens)
    finally:
        database.close()


def _who() -> str:
    """The user of this machine, in a form that no account of the registry has."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"local:{name}"
