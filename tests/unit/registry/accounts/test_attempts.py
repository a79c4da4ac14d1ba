from __future__ import annotations

from corten.registry.accounts.attempts import (
    ACCOUNT,
    ADDRESS,
    FORGOTTEN_SECONDS,
    PAIR,
    REMEMBERED,
    Attempts,
    network_of,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    pauses = []
    for _ in range(PAIR.free + 8):
        pause = attempts.begin("alice", "192.0.2.1")
        pauses.append(pause)
        if pause:
            assert attempts.begin("alice", "192.0.2.1") == pause  # asking again makes it no longer
            clock.now += pause
            assert attempts.begin("alice", "192.0.2.1") == 0
    assert pauses == [0] * PAIR.free + [1, 2, 4, 8, 16, 32, 60, 60]
    assert attempts.begin("bob", "192.0.2.1") == attempts.begin("alice", "192.0.2.2") == 0


def test_an_address_that_tries_many_accounts() -> None:
    attempts = Attempts(Clock())
    assert [attempts.begin(f"user{n}", "192.0.2.1") for n in range(ADDRESS.free)] == [0] * ADDRESS.free
    assert attempts.begin("another", "192.0.2.1") > 0
    assert attempts.begin("another", "192.0.2.2") == 0


def test_an_account_that_many_addresses_try_is_not_kept_out_for_long() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for number in range(ACCOUNT.free + 20):
        if pause := attempts.begin("alice", f"10.0.{number}.1"):
            assert pause <= ACCOUNT.longest
            clock.now += pause
    assert 0 < attempts.begin("alice", "192.0.2.1") <= ACCOUNT.longest
    assert attempts.begin("bob", "192.0.2.1") == 0


def test_success_and_time_forgive() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(PAIR.free):
        attempts.begin("alice", "192.0.2.1")
    clock.now += 2
    attempts.begin("alice", "192.0.2.1")
    attempts.succeeded("alice", "192.0.2.1")
    assert [attempts.begin("alice", "192.0.2.1") for _ in range(PAIR.free)] == [0] * PAIR.free
    assert attempts.begin("alice", "192.0.2.1") > 0
    clock.now += FORGOTTEN_SECONDS + 1
    assert attempts.begin("alice", "192.0.2.1") == 0
    # Many that are right are not held against their address.
    for number in range(100):
        assert attempts.begin(f"user{number}", "192.0.2.3") == 0
        attempts.succeeded(f"user{number}", "192.0.2.3")


def test_memory_is_bounded() -> None:
    attempts = Attempts(Clock())
    for number in range(REMEMBERED):
        attempts.begin(f"user{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts._found) <= REMEMBERED


def test_networks() -> None:
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("") == ""
