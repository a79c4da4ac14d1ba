"""From the options of `run` and `create` to the body of `POST /containers/create`: Docker's names and units.

Only what was given is put in: the engine has the defaults.
"""

from __future__ import annotations

import os

from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.client.jsontext import Json

# option: (where, field), by kind of conversion
_TEXTS = {
    "domainname": "Domainname",
    "hostname": "Hostname",
    "mac-address": "MacAddress",
    "stop-signal": "StopSignal",
    "user": "User",
    "workdir": "WorkingDir",
}
_HOST_TEXTS = {
    "cgroup-parent": "CgroupParent",
    "cgroupns": "CgroupnsMode",
    "cidfile": "ContainerIDFile",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "ipc": "IpcMode",
    "isolation": "Isolation",
    "pid": "PidMode",
    "runtime": "Runtime",
    "userns": "UsernsMode",
    "uts": "UTSMode",
    "volume-driver": "VolumeDriver",
}
_HOST_NUMBERS = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "memory-swappiness": "MemorySwappiness",
    "oom-score-adj": "OomScoreAdj",
    "pids-limit": "PidsLimit",
}
_HOST_SWITCHES = {
    "init": "Init",
    "oom-kill-disable": "OomKillDisable",
    "privileged": "Privileged",
    "publish-all": "PublishAllPorts",
    "read-only": "ReadonlyRootfs",
    "rm": "AutoRemove",
    "volatile": "Volatile",
}
_HOST_LISTS = {
    "cap-add": "CapAdd",
    "cap-drop": "CapDrop",
    "device-cgroup-rule": "DeviceCgroupRules",
    "dns": "Dns",
    "dns-search": "DnsSearch",
    "group-add": "GroupAdd",
    "link": "Links",
    "volumes-from": "VolumesFrom",
}
_HOST_SIZES = {"memory": "Memory", "memory-reservation": "MemoryReservation", "shm-size": "ShmSize"}
_HOST_MAPS = {"annotation": "Annotations", "storage-opt": "StorageOpt", "sysctl": "Sysctls"}


def create_body(arguments: Arguments) -> dict[str, Json]:
    """The request for the image and command in `arguments.rest`."""
    values = arguments.values
    body: dict[str, Json] = {"Image": arguments.rest[0]}
    host: dict[str, Json] = {}
    if len(arguments.rest) > 1:
        body["Cmd"] = arguments.rest[1:]
    if "entrypoint" in values:
        entrypoint = arguments.text("entrypoint")
        body["Entrypoint"] = [entrypoint]  # [""] resets the image's
    for name in values:
        if name in _TEXTS:
            body[_TEXTS[name]] = values[name]
        elif name in _HOST_TEXTS:
            host[_HOST_TEXTS[name]] = values[name]
        elif name in _HOST_NUMBERS:
            host[_HOST_NUMBERS[name]] = values[name]
        elif name in _HOST_SWITCHES:
            host[_HOST_SWITCHES[name]] = values[name]
        elif name in _HOST_LISTS:
            host[_HOST_LISTS[name]] = values[name]
        elif name in _HOST_SIZES:
            from corten.cli.quantity import parse_bytes

            host[_HOST_SIZES[name]] = parse_bytes(arguments.text(name), f"--{name}")
        elif name in _HOST_MAPS:
            host[_HOST_MAPS[name]] = pairs(arguments.many(name))
    if "stop-timeout" in values:
        body["StopTimeout"] = values["stop-timeout"]
    _environment(arguments, body)
    _labels(arguments, body)
    if any(name.startswith("health-") or name == "no-healthcheck" for name in values):
        _health(arguments, body)
    _limits(arguments, host)
    _network(arguments, body, host)
    if "volume" in values or "mount" in values or "tmpfs" in values:
        from corten.cli import mount_options

        mount_options.apply(arguments, body, host)
    _policies(arguments, host)
    _refuse(arguments)
    body["HostConfig"] = host
    return body


def pairs(items: list[str]) -> dict[str, str]:
    """`KEY=VALUE ...` as an object; KEY alone has an empty value."""
    return {key: value for key, _, value in (item.partition("=") for item in items)}


def read_lines(path: str, flag: str) -> list[str]:
    """The lines of an --env-file or --label-file, without comments and empty ones."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidArgument(f"cannot read {path} for {flag}: {reason}") from error
    lines = [line.lstrip() for line in lines]
    for line in lines:
        name = line.partition("=")[0]
        if line and not line.startswith("#") and (" " in name.rstrip() or "\t" in name or not name):
            raise InvalidArgument(f"{path} for {flag}: the line {line!r} has a name that cannot be one")
    return [line for line in lines if line and not line.startswith("#")]


def environment(items: list[str], files: list[str]) -> list[str]:
    """Variables of files first, then of the command line; a bare name takes the caller's value, if it has
    one."""
    given = [line for path in files for line in read_lines(path, "--env-file")] + items
    result = []
    for item in given:
        name, equals, _value = item.partition("=")
        if not name:
            raise InvalidArgument(f"invalid environment variable: {item!r}")
        if equals:
            result.append(item)
        elif name in os.environ:
            result.append(f"{name}={os.environ[name]}")
        # A bare name that the caller has not set takes the variable away from the image's: that is what the
        # name alone says to the engine.
        else:
            result.append(name)
    return result


def _environment(arguments: Arguments, body: dict[str, Json]) -> None:
    items = environment(arguments.many("env"), arguments.many("env-file"))
    if items:
        body["Env"] = items


def _labels(arguments: Arguments, body: dict[str, Json]) -> None:
    items = [line for path in arguments.many("label-file") for line in read_lines(path, "--label-file")]
    items += arguments.many("label")
    if items:
        body["Labels"] = pairs(items)


def _health(arguments: Arguments, body: dict[str, Json]) -> None:
    from corten.cli.quantity import parse_duration

    names = [name for name in arguments.values if name.startswith("health-")]
    if arguments.on("no-healthcheck"):
        if names:
            raise InvalidArgument("--no-healthcheck conflicts with --health-* options")
        body["Healthcheck"] = {"Test": ["NONE"]}
        return
    check: dict[str, Json] = {}
    if command := arguments.text("health-cmd"):
        check["Test"] = ["CMD-SHELL", command]
    for name, field in (
        ("health-interval", "Interval"),
        ("health-timeout", "Timeout"),
        ("health-start-period", "StartPeriod"),
        ("health-start-interval", "StartInterval"),
    ):
        if arguments.has(name):
            check[field] = parse_duration(arguments.text(name), f"--{name}")
    if arguments.has("health-retries"):
        check["Retries"] = arguments.number("health-retries")
    body["Healthcheck"] = check


def _limits(arguments: Arguments, host: dict[str, Json]) -> None:
    values = arguments.values
    if "cpus" in values:
        host["NanoCpus"] = nano_cpus(arguments.text("cpus"))
    if "memory-swap" in values:
        host["MemorySwap"] = memory_swap(arguments.text("memory-swap"))
    for name in ("read-bps", "write-bps", "read-iops", "write-iops"):
        if items := arguments.many(f"device-{name}"):
            way, unit = name.split("-")
            field = f"BlkioDevice{way.title()}{'Bps' if unit == 'bps' else 'IOps'}"
            host[field] = [_rate(item, f"--device-{name}", unit == "bps") for item in items]
    if items := arguments.many("blkio-weight-device"):
        host["BlkioWeightDevice"] = [
            {"Path": rate["Path"], "Weight": rate["Rate"]}
            for rate in (_rate(item, "--blkio-weight-device", False) for item in items)
        ]
    if items := arguments.many("ulimit"):
        host["Ulimits"] = [ulimit(item) for item in items]
    if items := arguments.many("device"):
        host["Devices"] = [_device(item) for item in items]


def nano_cpus(text: str) -> int:
    """`--cpus 1.5` in billionths of a CPU."""
    try:
        return round(float(text) * 1e9)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"invalid number of CPUs {text!r} for --cpus: write it as in 0.5 or 2"
        ) from None


def memory_swap(text: str) -> int:
    """`--memory-swap`: bytes, or -1 for no limit."""
    from corten.cli.quantity import parse_bytes

    return -1 if text == "-1" else parse_bytes(text, "--memory-swap")


def _rate(text: str, flag: str, is_bytes: bool) -> dict[str, Json]:
    path, _, rate = text.rpartition(":")
    if not path.startswith("/dev/"):
        raise InvalidArgument(f"invalid {flag} {text!r}: write it as /dev/PATH:RATE")
    if is_bytes:
        from corten.cli.quantity import parse_bytes

        return {"Path": path, "Rate": parse_bytes(rate, flag)}
    if not rate.isdigit():
        raise InvalidArgument(f"invalid {flag} {text!r}: {rate!r} is not a whole number")
    return {"Path": path, "Rate": int(rate)}


def ulimit(text: str) -> dict[str, Json]:
    """`NAME=SOFT[:HARD]`; -1 is unlimited."""
    name, equals, rest = text.partition("=")
    soft, _, hard = rest.partition(":")
    try:
        if not name or not equals:
            raise ValueError
        low, high = int(soft), int(hard or soft)
    except ValueError:
        raise InvalidArgument(f"invalid ulimit {text!r}: write it as NAME=SOFT[:HARD]") from None
    if high != -1 and (low > high or low == -1):
        raise InvalidArgument(f"invalid ulimit {text!r}: the soft limit is above the hard limit")
    return {"Name": name, "Soft": low, "Hard": high}


def _device(text: str) -> dict[str, str]:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if target and not target.startswith("/") and not mode:
        target, mode = "", target
    if not source.startswith("/") or not set(mode) <= set("rwm"):
        raise InvalidArgument(f"invalid device {text!r}: write it as /dev/HOST[:/dev/CONTAINER[:rwm]]")
    return {
        "PathOnHost": source,
        "PathInContainer": target or source,
        "CgroupPermissions": mode or "rwm",
    }


def _network(arguments: Arguments, body: dict[str, Json], host: dict[str, Json]) -> None:
    from_flags = arguments.many("network") + arguments.many("net")
    aliases = arguments.many("network-alias") + arguments.many("net-alias")
    if from_flags or aliases or any(arguments.has(name) for name in ("ip", "ip6", "link-local-ip")):
        from corten.cli import network_options

        network_options.apply(arguments, from_flags, aliases, body, host)
    if arguments.has("publish") or arguments.has("expose"):
        from corten.cli import port_options

        port_options.apply(arguments, body, host)
    if items := arguments.many("add-host"):
        host["ExtraHosts"] = [_extra_host(item) for item in items]
    if items := arguments.many("dns-opt") + arguments.many("dns-option"):
        host["DnsOptions"] = items


def _extra_host(text: str) -> str:
    """`HOST:IP` or `HOST=IP`; the address may be IPv6, with or without brackets, or `host-gateway`."""
    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    address = address.strip("[]")
    if not name or not address:
        raise InvalidArgument(f"invalid --add-host {text!r}: write it as HOST:IP")
    return f"{name}:{address}"


def _policies(arguments: Arguments, host: dict[str, Json]) -> None:
    if policy := arguments.text("restart"):
        host["RestartPolicy"] = restart_policy(policy)
        if arguments.on("rm") and host["RestartPolicy"]["Name"] not in ("", "no"):
            raise InvalidArgument("conflicting options: cannot specify both --restart and --rm")
    if arguments.has("log-driver") or arguments.has("log-opt"):
        host["LogConfig"] = {
            "Type": arguments.text("log-driver"),
            "Config": pairs(arguments.many("log-opt")),
        }
    if items := arguments.many("security-opt"):
        host["SecurityOpt"] = []
        for item in items:
            _security(item, host)


def restart_policy(text: str) -> dict[str, Json]:
    """`no`, `always`, `unless-stopped` or `on-failure[:N]`."""
    name, colon, count = text.partition(":")
    if name not in ("no", "always", "unless-stopped", "on-failure"):
        raise InvalidArgument(
            f"invalid restart policy {text!r}: it is no, always, unless-stopped or on-failure[:N]"
        )
    if colon and (name != "on-failure" or not count.isdigit()):
        raise InvalidArgument(f"invalid restart policy {text!r}: only on-failure takes a number of retries")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _security(item: str, host: dict[str, Json]) -> None:
    """The engine may be on another machine: a seccomp profile goes along as text. systempaths is a client's
    word."""
    key, separator, value = item.partition("=")
    if not separator and key != "no-new-privileges":
        key, separator, value = item.partition(":")  # the old syntax
    if key == "systempaths" and value == "unconfined":
        host["MaskedPaths"] = []
        host["ReadonlyPaths"] = []
        return
    if key == "seccomp" and value not in ("unconfined", "builtin"):
        try:
            with open(value, encoding="utf-8") as file:
                text = file.read()
            from corten.client import jsontext

            value = jsontext.dumps(jsontext.loads(text)).decode()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidArgument(f"cannot use the seccomp profile {value}: {reason}") from error
    host["SecurityOpt"].append(f"{key}={value}" if separator else item)


def _refuse(arguments: Arguments) -> None:
    if arguments.has("gpus"):
        raise InvalidArgument(
            "--gpus needs a vendor's device driver, which this engine has none of;"
            " give the device files by --device /dev/dri/... instead"
        )
    when = arguments.text("pull")
    if when not in ("", "missing", "never", "always"):
        raise InvalidArgument(f"invalid --pull {when!r}: it is always, missing or never")
    if arguments.has("use-api-socket"):
        raise InvalidArgument(
            "--use-api-socket is not offered: mount the engine's socket by -v to the same end"
        )
