"""The registry's process: `python -m corten.registry serve|gc|check|… CONFIGURATION`; `corten registry …`
starts it.

CONFIGURATION is JSON: {"file": a TOML file or "", "set": what overrides it, by the names of `Config`},
and what the verb needs.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from corten.errors import CortenError, Unsupported, status_of


def main(arguments: list[str]) -> int:
    """The exit code."""
    try:
        verb, text = arguments
    except ValueError:
        print("usage: corten registry serve|gc|check [OPTIONS]", file=sys.stderr)
        return 125
    try:
        return _run(verb, text)
    except CortenError as error:
        if os.environ.get("CORTEN_DEBUG"):
            raise
        print(f"corten: {error.message}", file=sys.stderr)
        return status_of(error)[2] or 1
    except KeyboardInterrupt:
        return 130


def _run(verb: str, text: str) -> int:
    try:
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError as error:
        raise Unsupported(
            "the registry needs SQLAlchemy, which is not installed: pip install 'corten[registry]'"
        ) from error
    import msgspec

    from corten.registry import config as configuration

    request: dict[str, Any] = msgspec.json.decode(text)
    config = configuration.load(request["file"]) if request.get("file") else configuration.Config()
    given = msgspec.to_builtins(config)
    for name, value in request.get("set", {}).items():
        # A section that options touch keeps what else the file says in it.
        before = given.get(name)
        both = isinstance(value, dict) and isinstance(before, dict)
        given[name] = {**before, **value} if both else value
    if "grace" in request:
        given["collection"] = {**given["collection"], "grace-seconds": request["grace"]}
    config = configuration.convert(given, "the command's options")
    if verb == "serve":
        from corten.registry import process

        return process.run(config)
    if verb in ("user", "token"):
        from corten.registry.accounts import command

        return command.run(config, verb, request["accounts"])
    from corten.registry import maintenance

    if verb == "gc":
        return maintenance.collect(
            config, dry_run=bool(request.get("dry-run")), quiet=bool(request.get("quiet"))
        )
    if verb == "check":
        return maintenance.check(
            config, repair=bool(request.get("repair")), read_all=bool(request.get("read-blobs"))
        )
    if verb == "backup":
        return maintenance.write_backup(config, request["path"])
    if verb == "import":
        return maintenance.take_over(config, request["path"], int(request.get("workers", 0)))
    if verb == "restore":
        return maintenance.restore_backup(config, request["path"], replace=bool(request.get("replace")))
    raise Unsupported(f"corten registry has no {verb}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
