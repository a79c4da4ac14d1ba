from __future__ import annotations

import os

import pytest

from corten.registry.access import Identity
from corten.registry.errors import RegistryError
from corten.registry.rate_limits import Buckets, RateLimits, limited_as
from corten.registry.sections import Rate, Rates

KEY = ("pulls", "address", "192.0.2.1")


def test_a_bucket_gives_its_tokens_and_fills_again() -> None:
    buckets, rate = Buckets(), Rate(3, 30)
    assert [buckets.take(KEY, rate, 100.0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take(KEY, rate, 100.0) == pytest.approx(10)
    assert buckets.take(KEY, rate, 105.0) == pytest.approx(5)
    assert buckets.take(KEY, rate, 110.0) == 0
    assert buckets.take(KEY, rate, 110.0) == pytest.approx(10)
    assert [buckets.take(KEY, rate, 1000.0) for _ in range(4)][:3] == [0, 0, 0]


def test_looking_takes_nothing() -> None:
    buckets, rate = Buckets(), Rate(1, 60)
    assert [buckets.wait(KEY, rate, 5.0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take(KEY, rate, 5.0) == 0
    assert buckets.wait(KEY, rate, 5.0) == pytest.approx(60)


def test_keys_do_not_share() -> None:
    buckets, rate = Buckets(), Rate(1, 3600)
    for number in range(1000):
        assert buckets.take(("pulls", "address", str(number)), rate, 5.0) == 0


def test_more_keys_than_places_are_still_limited() -> None:
    """However many names an attacker has: the table does not grow, and nobody gets a limit of their own by
    it."""
    buckets, rate = Buckets(size=4), Rate(1, 3600)
    taken = sum(buckets.take(("pulls", "address", str(number)), rate, 5.0) == 0 for number in range(1000))
    assert taken <= 4 + 8


def test_forked_processes_share() -> None:
    buckets, rate = Buckets(), Rate(2, 3600)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if buckets.take(KEY, rate, 5.0) == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert buckets.take(KEY, rate, 5.0) == 0
    assert buckets.take(KEY, rate, 5.0) > 0


def test_identities_before_addresses() -> None:
    limits = RateLimits(Rates(pulls="1/hour"), Buckets())
    limits.pull(Identity("alice"), "192.0.2.1")
    limits.pull(Identity("bob"), "192.0.2.1")
    limits.pull(Identity(), "192.0.2.1")
    for identity in (Identity("alice"), Identity("bob"), Identity()):
        with pytest.raises(RegistryError) as found:
            limits.pull(identity, "192.0.2.1")
        assert found.value.status == 429
        assert int(found.value.headers["Retry-After"]) > 3000
    limits.push(Identity(), "192.0.2.1")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense:", "nonsense:"),
    ],
)
def test_whose_bucket(address: str, found: str) -> None:
    assert limited_as(address) == found
