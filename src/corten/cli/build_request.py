"""From the options of `build` to the request that the engine gets (`corten.api.build.BuildRequest`).

Only what was given is put in."""

from __future__ import annotations

import os

from corten.cli import build_specs
from corten.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.client.jsontext import Json

_POLICY = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"
"""The environment variable that buildx reads for a source policy."""

# option: field
_TEXTS = {"network": "network", "target": "target", "isolation": "isolation"}
_SWITCHES = {
    "debug-shell": "debug_shell",
    "explain": "explain",
    "no-cache": "no_cache",
    "pull": "pull",
}
_WORDS = {"allow": "allow", "no-cache-filter": "no_cache_filter", "platform": "platforms"}  # a,b is two
_LISTS = {"annotation": "annotations", "security-opt": "security", "tag": "tags"}
_LIMIT_TEXTS = {
    "cgroup-parent": "cgroup_parent",
    "cpuset-cpus": "cpuset_cpus",
    "cpuset-mems": "cpuset_mems",
}
_LIMIT_NUMBERS = {"cpu-period": "cpu_period", "cpu-quota": "cpu_quota", "cpu-shares": "cpu_shares"}
_CALLS = ("build", "check", "outline", "targets", "describe")


def make(arguments: Arguments) -> dict[str, Json]:
    """Everything but the context, the Dockerfile and the agents."""
    values = arguments.values
    _refuse(arguments)
    request: dict[str, Json] = {"id": os.urandom(16).hex()}
    for option, field in _TEXTS.items():
        if option in values:
            request[field] = values[option]
    for option, field in _SWITCHES.items():
        if arguments.on(option):
            request[field] = True
    for option, field in _WORDS.items():
        if words := [word for item in arguments.many(option) for word in item.split(",") if word]:
            request[field] = words
    for option, field in _LISTS.items():
        if items := arguments.many(option):
            request[field] = items
    if "jobs" in values:
        if arguments.number("jobs") < 0:
            raise InvalidArgument("invalid --jobs: it is a number of steps, or 0 for one for each processor")
        request["jobs"] = values["jobs"]
    if items := arguments.many("label"):
        request["labels"] = _pairs(items, "--label")
    if items := arguments.many("build-arg"):
        request["build_args"] = build_args(items)
    if items := arguments.many("build-context"):
        request["named_contexts"] = [build_specs.context(item) for item in items]
    if items := arguments.many("secret"):
        request["secrets"] = [build_specs.secret(item) for item in items]
    if items := arguments.many("add-host"):
        request["hosts"] = [_host(item) for item in items]
    for flag in ("cache-from", "cache-to"):
        if caches := _caches(arguments.many(flag), f"--{flag}"):
            request[flag.replace("-", "_")] = caches
    if outputs := _outputs(arguments):
        request["outputs"] = outputs
    if limits := _limits(arguments):
        request["limits"] = limits
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        if epoch.isdecimal():
            request["source_epoch"] = int(epoch)
        else:  # the name of what has a time, as `context`
            request.setdefault("build_args", {}).setdefault("SOURCE_DATE_EPOCH", epoch)
    policy = arguments.text("source-policy-file") or os.environ.get(_POLICY, "")
    if policy:
        request["source_policy"] = _policy(policy)
    if not arguments.on("tls-verify", True):
        request["insecure_registries"] = True
    if (method := call(arguments)[0]) != "build":
        request["call"] = method
    return request


def _policy(path: str) -> str:
    import binascii

    try:
        with open(path, "rb") as file:
            return binascii.b2a_base64(file.read(), newline=False).decode()
    except OSError as error:
        raise InvalidArgument(f"cannot read the source policy {path}: {error.strerror}") from None


def add_proxies(request: dict[str, Json], engine: str) -> None:
    """The proxies that config.json has for builds by the engine at that address, unless the user gave
    others."""
    from corten.client.proxies import proxy_variables

    arguments = request.get("build_args", {})
    if proxies := proxy_variables(engine):
        request["build_args"] = {**proxies, **arguments}


def check_place(request: dict[str, Json], local: bool) -> None:
    """Unsupported when an engine elsewhere is asked for what is on this host."""
    if local:
        return
    named = any(context["source"].startswith("/") for context in request.get("named_contexts", ()))
    caches = [item["attributes"] for field in ("cache_to", "cache_from") for item in request.get(field, ())]
    if named or any(item.get("dest") or item.get("src") for item in caches):
        raise Unsupported(
            "named contexts and caches that are directories of this host need an engine on this host: use its"
            " unix socket"
        )


def call(arguments: Arguments) -> tuple[str, bool]:
    """`--call METHOD[,format=json]` and `--check`: the method, and whether its answer is to be JSON."""
    text = arguments.text("call") or arguments.text("print")
    if arguments.on("check"):
        if text not in ("", "check", "lint"):
            raise InvalidArgument(f"--check is --call=check, not --call={text}")
        text = text or "check"
    method, _, rest = text.partition(",")
    form = build_specs.fields(rest, "--call").get("format", "") if rest else ""
    method = {"": "build", "lint": "check", "subrequests.describe": "describe"}.get(method, method)
    if method not in _CALLS:
        raise InvalidArgument(f"invalid --call {method!r}: it is {', '.join(_CALLS[:-1])} or {_CALLS[-1]}")
    if form not in ("", "json", "text"):
        raise InvalidArgument(f"invalid --call format {form!r}: it is text or json")
    return method, form == "json"


def build_args(items: list[str]) -> dict[str, str]:
    """KEY alone takes the caller's value; where there is none, it is as if it were not given."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not name:
            raise InvalidArgument(f"invalid --build-arg {item!r}: write it as KEY=VALUE")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _caches(items: list[str], flag: str) -> list[Json]:
    found = [build_specs.cache(item, flag) for item in items]
    if None in found:
        from corten.cli.session import warn

        warn(
            f"{flag} type=gha is left out: there is no ACTIONS_RUNTIME_TOKEN, or no ACTIONS_CACHE_URL nor "
            "ACTIONS_RESULTS_URL"
        )
    return [item for item in found if item is not None]


def _pairs(items: list[str], flag: str) -> dict[str, str]:
    found = {}
    for item in items:
        name, _, value = item.partition("=")
        if not name:
            raise InvalidArgument(f"invalid {flag} {item!r}: write it as KEY=VALUE")
        found[name] = value
    return found


def _host(text: str) -> dict[str, str]:
    """`HOST:IP` or `HOST=IP`; an IPv6 address may have brackets."""
    name, separator, address = text.partition("=")
    if not separator:
        name, _, address = text.partition(":")
    address = address.strip("[]")
    if not name or not address:
        raise InvalidArgument(f"invalid --add-host {text!r}: write it as HOST:IP")
    return {"name": name, "address": address}


def _outputs(arguments: Arguments) -> list[Json]:
    outputs = [build_specs.output(item) for item in arguments.many("output")]
    if sum(output["attributes"].get("dest") == "-" for output in outputs) > 1:
        raise InvalidArgument("only one --output can go to stdout")
    push = arguments.on("push")
    if push and not arguments.many("tag"):
        raise InvalidArgument("--push needs a name: give one by --tag")
    images = [output for output in outputs if output["type"] == "image"]
    if (arguments.on("load") or push) and not images:
        images = [{"type": "image", "attributes": {}}]
        outputs = images + outputs
    if push:
        # The very image that is stored: under two digests, nobody would know which one was meant.
        for output in images:
            output["attributes"]["push"] = "true"
    return outputs


def _limits(arguments: Arguments) -> dict[str, Json]:
    values = arguments.values
    limits: dict[str, Json] = {}
    for option, field in (*_LIMIT_TEXTS.items(), *_LIMIT_NUMBERS.items()):
        if option in values:
            limits[field] = values[option]
    if "memory" in values or "memory-swap" in values or "shm-size" in values:
        from corten.cli.quantity import parse_bytes

        for option, field in (("memory", "memory"), ("shm-size", "shm_size")):
            if option in values:
                limits[field] = parse_bytes(arguments.text(option), f"--{option}")
        if swap := arguments.text("memory-swap"):
            limits["memory_swap"] = -1 if swap == "-1" else parse_bytes(swap, "--memory-swap")
    if items := arguments.many("ulimit"):
        from corten.cli.container_request import ulimit

        limits["ulimits"] = [
            {"name": item["Name"], "soft": item["Soft"], "hard": item["Hard"]} for item in map(ulimit, items)
        ]
    return limits


def _refuse(arguments: Arguments) -> None:
    """What Docker has, and nobody gets here."""
    for name in ("provenance", "sbom", "attest"):
        wanted = arguments.many(name) if name == "attest" else [arguments.text(name)]
        if any(value.lower() not in ("", "false", "0") and "disabled=true" not in value for value in wanted):
            raise Unsupported(f"--{name}: Corten makes no attestations yet; leave the flag out")
    if arguments.on("squash"):
        raise Unsupported(
            "--squash is not offered: build in a stage of its own, and COPY --from what is needed"
        )
    if arguments.has("policy"):
        raise Unsupported("--policy: Corten evaluates no Rego; --source-policy-file takes the rules as JSON")
    if arguments.text("isolation") not in ("", "default"):
        raise InvalidArgument(
            f"invalid --isolation {arguments.text('isolation')!r}: on Linux there is only default"
        )
