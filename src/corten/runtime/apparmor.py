"""AppArmor: is it there, is a profile loaded. The label itself is set by the child before it executes."""

from __future__ import annotations

from pathlib import Path

from corten.errors import InvalidArgument, Unsupported

_SECURITY = Path("/sys/kernel/security/apparmor")
_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
UNCONFINED = "unconfined"


def enabled(*, flag: Path = _ENABLED) -> bool:
    """Is AppArmor built into the kernel and switched on?"""
    try:
        return flag.read_text().startswith("Y")
    except OSError:
        return False


def profiles(*, security: Path = _SECURITY) -> dict[str, str]:
    """The loaded profiles and their modes (enforce, complain, ...); empty where they cannot be read."""
    try:
        lines = (security / "profiles").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.rpartition(" (") for line in lines)
    return {name: mode.rstrip(")") for name, _, mode in pairs if name}


def resolve(profile: str, *, flag: Path = _ENABLED, security: Path = _SECURITY) -> str | None:
    """The profile to set for `--security-opt apparmor=PROFILE`; None for none.

    Nothing asked for, or "unconfined" where there is no AppArmor, is None. Raises Unsupported when one is
    asked for on a host without AppArmor, InvalidArgument when it is not loaded.
    """
    if not profile:
        return None
    if not enabled(flag=flag):
        if profile == UNCONFINED:
            return None
        raise Unsupported(f"cannot use AppArmor profile {profile}: this host has no AppArmor")
    if profile != UNCONFINED:
        loaded = profiles(security=security)
        if loaded and profile not in loaded:
            raise InvalidArgument(
                f"AppArmor profile {profile} is not loaded: load it with apparmor_parser(8)"
            )
    return profile
