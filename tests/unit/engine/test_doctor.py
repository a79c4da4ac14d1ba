"""Every check looks, says something, and offers one command."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from corten.engine import doctor, rootless
from corten.network import firewall


def by_name() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks()}


def test_this_host_is_looked_at() -> None:
    found = by_name()
    assert {
        "kernel",
        "system calls",
        "overlay",
        "user namespaces",
        "cgroups",
        "seccomp",
        "disk space",
    } <= set(found)
    assert os.uname().release in found["kernel"].detail
    assert all(check.detail for check in found.values())
    assert not any("\n" in check.remedy for check in found.values())


def test_a_missing_system_call_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setitem(doctor._SYSTEM_CALLS, "openat2", lacking)
    check = by_name()["system calls"]
    assert not check.ok
    assert check.fatal
    assert check.detail == "missing: openat2"


def test_apparmors_restriction_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    switch.write_text("1\n")
    monkeypatch.setattr(rootless, "APPARMOR_SWITCH", switch)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (check,) = doctor._user_namespaces()
    assert not check.ok
    assert check.fatal
    assert "AppArmor" in check.detail
    assert "apparmor_restrict_unprivileged_userns=0" in check.remedy
    assert check.remedy.count("sudo") == 2


def test_missing_nft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "nft_path", lambda: None)
    (check,) = doctor._firewall()
    assert (check.ok, check.remedy) == (False, "sudo apt-get install nftables")


def test_a_kernel_without_nat(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: str, *options: str) -> str:
        raise firewall.FirewallError("Could not process rule: No such file or directory")

    monkeypatch.setattr(firewall, "nft_path", lambda: "/usr/sbin/nft")
    monkeypatch.setattr(firewall, "run_nft", refuse)
    check = next(iter(doctor._firewall()))
    assert not check.ok
    assert "Could not process rule" in check.detail


def test_a_check_that_fails_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def _broken() -> Iterable[doctor.Check]:
        raise subprocess.TimeoutExpired("nft", 1)

    monkeypatch.setattr(doctor, "_PROBES", (_broken, *doctor._PROBES))
    found = doctor.checks()
    assert not found[0].ok
    assert "could not be looked at" in found[0].detail
    assert len(found) > 5


def test_old_kernels() -> None:
    assert doctor._version("5.4.0-200-generic") == (5, 4)
    assert doctor._version("6.18.44-x") == (6, 18)
    assert doctor._version("odd") == (0, 0)
