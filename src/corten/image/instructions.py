"""The Dockerfile instructions that `import --change` and `commit --change` understand, applied to a run
config."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence

import msgspec

from corten.errors import InvalidArgument
from corten.oci.image_config import HealthConfig, ImageRunConfig

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


def apply_changes(config: ImageRunConfig, changes: Sequence[str]) -> ImageRunConfig:
    """`config` after the instructions; InvalidArgument names the one that is wrong."""
    for change in changes:
        for line in change.splitlines():
            if line.strip():
                config = _apply(config, line.strip())
    return config


def _apply(config: ImageRunConfig, line: str) -> ImageRunConfig:
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    handler = _HANDLERS.get(word.upper())
    if handler is None:
        raise InvalidArgument(
            f"{word.upper()} is not a valid change command (one of {', '.join(sorted(_HANDLERS))})"
        )
    if not rest:
        raise InvalidArgument(f"change {line!r}: {word.upper()} needs an argument")
    return handler(config, rest)


def _set(config: ImageRunConfig, **fields: object) -> ImageRunConfig:
    return msgspec.structs.replace(config, **fields)


def _command(rest: str, shell: list[str] | None) -> list[str]:
    """The exec form (a JSON array of strings), or the shell form."""
    if rest.startswith("["):
        try:
            value = json.loads(rest)
        except ValueError:
            value = None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
    return [*(shell or ["/bin/sh", "-c"]), rest]


def _pairs(rest: str, instruction: str) -> dict[str, str]:
    """`a=b c="d e"`, or the old form `a b`."""
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise InvalidArgument(f"change {instruction} {rest!r}: {error}") from error
    if words and "=" not in words[0]:
        name, _, value = rest.partition(" ")
        if not value:
            raise InvalidArgument(f"change {instruction} {rest!r}: expected name=value")
        return {name: value.strip()}
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidArgument(f"change {instruction} {rest!r}: expected name=value")
        pairs[name] = value
    return pairs


def _env(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    merged = dict(item.partition("=")[::2] for item in config.env or ())
    merged |= _pairs(rest, "ENV")
    return _set(config, env=[f"{name}={value}" for name, value in merged.items()])


def _label(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    return _set(config, labels={**(config.labels or {}), **_pairs(rest, "LABEL")})


def _cmd(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    return _set(config, cmd=_command(rest, config.shell))


def _entrypoint(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    return _set(config, entrypoint=_command(rest, config.shell))


def _shell(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    if not rest.startswith("["):
        raise InvalidArgument(f"change SHELL {rest!r}: expected a JSON array")
    return _set(config, shell=_command(rest, None))


def _expose(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    ports = dict(config.exposed_ports or {})
    for word in rest.split():
        match = _PORT.fullmatch(word)
        if match is None or not 0 < int(match[1]) <= int(match[2] or match[1]) < 65536:
            raise InvalidArgument(f"change EXPOSE {rest!r}: {word!r} is no port")
        for port in range(int(match[1]), int(match[2] or match[1]) + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    return _set(config, exposed_ports=ports)


def _volume(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    paths = _command(rest, None) if rest.startswith("[") else rest.split()
    return _set(config, volumes={**(config.volumes or {}), **{path: {} for path in paths}})


def _workdir(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    path = rest if rest.startswith("/") else f"{config.working_dir or '/'}/{rest}"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return _set(config, working_dir="/" + "/".join(parts))


def _on_build(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    word = rest.partition(" ")[0].upper()
    if word in ("ONBUILD", "FROM", "MAINTAINER"):
        raise InvalidArgument(f"change ONBUILD {rest!r}: {word} is not allowed as an ONBUILD trigger")
    return _set(config, on_build=[*(config.on_build or ()), rest])


def _healthcheck(config: ImageRunConfig, rest: str) -> ImageRunConfig:
    options: dict[str, str] = {}
    words = rest
    while words.startswith("--"):
        option, _, words = words.partition(" ")
        name, _, value = option[2:].partition("=")
        options[name] = value
        words = words.strip()
    kind, _, command = words.partition(" ")
    if kind.upper() == "NONE":
        return _set(config, healthcheck=HealthConfig(test=["NONE"]))
    command = command.strip()
    if kind.upper() != "CMD" or not command:
        raise InvalidArgument(f"change HEALTHCHECK {rest!r}: expected NONE or CMD and a command")
    exec_form = _command(command, [])
    test = (
        ["CMD", *exec_form] if command.startswith("[") and exec_form != [command] else ["CMD-SHELL", command]
    )
    health = HealthConfig(
        test=test,
        interval=_duration(options.pop("interval", "0s")),
        timeout=_duration(options.pop("timeout", "0s")),
        start_period=_duration(options.pop("start-period", "0s")),
        start_interval=_duration(options.pop("start-interval", "0s")),
        retries=int(options.pop("retries", "0") or 0),
    )
    if options:
        raise InvalidArgument(f"change HEALTHCHECK: unknown flag --{next(iter(options))}")
    return _set(config, healthcheck=health)


def _duration(text: str) -> int:
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise InvalidArgument(f"invalid duration {text!r}")
    return sum(int(float(number) * _UNITS[unit]) for number, unit in parts)


_HANDLERS: dict[str, Callable[[ImageRunConfig, str], ImageRunConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "SHELL": _shell,
    "STOPSIGNAL": lambda config, rest: _set(config, stop_signal=rest),
    "USER": lambda config, rest: _set(config, user=rest),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
