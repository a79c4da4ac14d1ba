"""What this host has and lacks for containers, and the one command that mends each lack.

Every check looks for itself (it calls the system call, reads the file, asks nft without changing anything);
versions are compared only where looking would need a mount.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from corten.engine import delegation, rootless
from corten.engine.paths import Paths
from corten.errors import Unsupported
from corten.linux.mount import fsopen, mount_setattr
from corten.linux.openat2 import O_PATH, RESOLVE_IN_ROOT, openat2
from corten.network import firewall
from corten.runtime.cgroup import layout

_OLDEST = (5, 12)
_GIB = 1 << 30
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
_DELEGATE = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=yes\\n'"
    " | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload"
)
_UNIFY = (
    "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&systemd.unified_cgroup_hierarchy=1 /' /etc/default/grub"
    " && sudo update-grub"
)
_NAT_PROBE = """\
add table ip corten_probe
add chain ip corten_probe nat { type nat hook postrouting priority 100; }
add rule ip corten_probe nat masquerade
add chain ip corten_probe in { type nat hook prerouting priority -100; }
add rule ip corten_probe in fib daddr type local dnat ip to tcp dport map { 1 : 127.0.0.1 . 1 }
"""


@dataclass(frozen=True)
class Check:
    """One finding. `ok` False with `fatal` False means that a part of Corten will not work."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""  # one shell command, "" when there is nothing to do
    fatal: bool = False


def checks() -> list[Check]:
    """All findings, in the order in which a person wants to read them. Works without an engine; takes < 0.3
    s.
    """
    found: list[Check] = []
    for probe in _PROBES:
        try:
            found.extend(probe())
        except (OSError, Unsupported, subprocess.SubprocessError) as error:
            name = probe.__name__.strip("_").replace("_", " ")
            found.append(Check(name, False, f"could not be looked at: {error}"))
    return found


def _kernel() -> Iterable[Check]:
    release = os.uname().release
    version = _version(release)
    old = version < _OLDEST
    remedy = "sudo apt-get install linux-image-generic" if old else ""
    needs = f"; Corten needs {_OLDEST[0]}.{_OLDEST[1]} or newer" if old else ""
    yield Check("kernel", not old, f"Linux {release}{needs}", remedy, fatal=old)
    missing = [name for name, call in _SYSTEM_CALLS.items() if not _exists(call)]
    yield Check(
        "system calls",
        not missing,
        f"missing: {', '.join(missing)}" if missing else ", ".join(_SYSTEM_CALLS),
        "sudo apt-get install linux-image-generic" if missing else "",
        fatal=bool(missing),
    )
    yield Check(
        "idmapped mounts",
        version >= (5, 12),
        "on Linux 5.12 and newer; of overlay on 5.19" if version < (5, 19) else "also of overlay",
    )


def _overlay() -> Iterable[Check]:
    loaded = "\toverlay\n" in Path("/proc/filesystems").read_text()
    module = any(Path(f"/lib/modules/{os.uname().release}").glob("kernel/fs/overlayfs/overlay.ko*"))
    if loaded:
        yield Check("overlay", True, "the kernel has it")
    else:
        detail = "a module that is not loaded" if module else "the kernel does not have this file system"
        yield Check("overlay", module, detail, "sudo modprobe overlay", fatal=not module)


def _user_namespaces() -> Iterable[Check]:
    reason, remedy = "", ""
    if rootless.read_switch(str(rootless.APPARMOR_SWITCH)) == "1" and os.geteuid():
        reason, remedy = "AppArmor forbids them to ordinary users", rootless.APPARMOR_REMEDY
    elif rootless.read_switch("/proc/sys/kernel/unprivileged_userns_clone") == "0" and os.geteuid():
        reason = "the kernel forbids them to ordinary users"
        remedy = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    elif rootless.read_switch("/proc/sys/user/max_user_namespaces") == "0":
        reason, remedy = "their number is limited to 0", "sudo sysctl -w user.max_user_namespaces=65536"
    else:
        # In earnest: AppArmor and containers let the namespace be made, and take the power away afterwards.
        command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "they cannot be used"
    fatal = bool(reason) and os.geteuid() != 0
    yield Check("user namespaces", not reason, reason or "they can be made and used", remedy, fatal)


def _user_ids() -> Iterable[Check]:
    state = rootless.current()
    uid = state.uid if state else os.geteuid()
    if uid == 0:
        return
    name = rootless.user_name(uid)
    tools = rootless.mapping_tools()
    yield Check(
        "newuidmap",
        tools is not None,
        "newuidmap and newgidmap are there" if tools else "without it a container has only one user id",
        "" if tools else "sudo apt-get install uidmap",
    )
    count = min(sum(piece.count for piece in rootless.ranges_of(kind, uid, name)) for kind in ("uid", "gid"))
    yield Check(
        "subordinate ids",
        count >= 65536,
        f"{count} in /etc/subuid and /etc/subgid for {name}"
        + ("" if count >= 65536 else ": a container needs 65536 to have all of its users"),
        f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}",
    )


def _cgroups() -> Iterable[Check]:
    here = layout.detect()
    missing = [name for name in _CONTROLLERS if here.of(name) is None]
    yield Check(
        "cgroups",
        not missing,
        f"layout {here.kind}: {', '.join(sorted(here.controllers))}"
        + (f"; missing: {', '.join(missing)}" if missing else ""),
        "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&cgroup_enable=memory swapaccount=1 /' /etc/default/grub"
        " && sudo update-grub"
        if missing
        else "",
    )
    if os.geteuid() == 0 and not rootless.is_rootless():
        return
    own = delegation.own_cgroup()
    if own is None:
        detail = f"nothing is delegated to ordinary users on the {here.kind} layout: limits cannot be kept"
        systemd = Path("/run/systemd/system").exists()
        yield Check("cgroup delegation", False, detail, _UNIFY if systemd else "")
        return
    controllers = delegation.delegated_controllers()
    lacking = [name for name in _CONTROLLERS if name not in controllers]
    detail = f"delegated: {', '.join(controllers) or 'nothing'}"
    if lacking:
        detail += ": other limits cannot be kept"
    yield Check("cgroup delegation", not lacking, detail, _DELEGATE if lacking else "")


def _seccomp() -> Iterable[Check]:
    actions = rootless.read_switch("/proc/sys/kernel/seccomp/actions_avail")
    yield Check(
        "seccomp",
        "errno" in actions.split(),
        "filters can be used" if actions else "the kernel has no seccomp filters: containers run without one",
    )


def _network() -> Iterable[Check]:
    if os.geteuid() == 0 and not rootless.is_rootless():
        yield from _firewall()
        return
    pasta = shutil.which("pasta")
    yield Check(
        "pasta",
        pasta is not None,
        f"{pasta}" if pasta else "an ordinary user's containers have only --network host and none without it",
        "" if pasta else "sudo apt-get install passt",
    )
    usable = os.access("/dev/net/tun", os.R_OK | os.W_OK)
    yield Check(
        "/dev/net/tun",
        usable,
        "this user may open it" if usable else "this user may not open it, and pasta needs it",
        "" if usable else "sudo modprobe tun && sudo chmod 666 /dev/net/tun",
    )


def _firewall() -> Iterable[Check]:
    if firewall.nft_path() is None:
        detail = "not installed: containers have only --network host and none"
        yield Check("nft", False, detail, "sudo apt-get install nftables")
        return
    try:
        firewall.run_nft(_NAT_PROBE, "--check")
    except firewall.FirewallError as error:
        detail = f"the kernel refuses NAT rules: {error.reason}"
        yield Check("nft", False, detail, "sudo modprobe -a nf_tables nft_nat nft_masq nft_fib_ipv4")
    else:
        yield Check("nft", True, "NAT, masquerading and local addresses can be used")
    try:
        chain = firewall.run_nft("list chain ip filter FORWARD\n")
    except firewall.FirewallError:
        chain = ""
    if "policy drop" in chain:
        yield Check(
            "forwarding",
            False,
            "another firewall (Docker's, perhaps) drops what it does not know: containers are cut off",
            "sudo iptables -I FORWARD -i corten+ -j ACCEPT && sudo iptables -I FORWARD -o corten+ -j ACCEPT",
        )


def _disk() -> Iterable[Check]:
    root = Paths.from_environment().root
    existing = next(path for path in (root, *root.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    enough = usage.free > _GIB
    yield Check(
        "disk space",
        enough,
        f"{usage.free / _GIB:.1f} GiB free for {root}",
        "" if enough else "corten system prune --all",
    )


def _makers() -> Iterable[Check]:
    found = shutil.which("mmdebstrap")
    yield Check(
        "mmdebstrap",
        found is not None,
        f"{found}" if found else "`corten image bootstrap debian` needs it (busybox does not)",
        "" if found else "sudo apt-get install mmdebstrap",
    )


_PROBES = (
    _kernel, _overlay, _user_namespaces, _user_ids, _cgroups, _seccomp, _network, _disk, _makers,
)  # fmt: skip


def _try_openat2() -> None:
    os.close(openat2(-100, b"/", O_PATH, RESOLVE_IN_ROOT))


def _try_fsopen() -> None:
    os.close(fsopen(b"tmpfs"))


def _try_pidfd() -> None:
    os.close(os.pidfd_open(os.getpid()))


def _try_clone3() -> None:
    from corten.linux.namespace import clone3

    clone3(1 << 63)  # no such flag: EINVAL from a kernel that has the call, and nothing is made


def _try_mount_setattr() -> None:
    mount_setattr(-1, b"nowhere")


_SYSTEM_CALLS: dict[str, Callable[[], None]] = {
    "clone3": _try_clone3,
    "openat2": _try_openat2,
    "pidfd_open": _try_pidfd,
    "fsopen": _try_fsopen,
    "mount_setattr": _try_mount_setattr,
}


def _exists(call: Callable[[], None]) -> bool:
    """Whether the kernel knows the call: any error but "no such call" is an answer."""
    try:
        call()
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _version(release: str) -> tuple[int, int]:
    parts = release.split("-")[0].split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        return 0, 0
