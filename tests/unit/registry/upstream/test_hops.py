from __future__ import annotations

from corten.registry.upstream.hops import MOST, Hops, new_name


def test_what_was_asked_through_others_comes_back() -> None:
    first, second = new_name(), new_name()
    assert first != second
    hops = Hops.of([Hops().via(first)])
    assert hops.names == (first,)
    assert (hops.comes_back(first), hops.comes_back(second)) == (True, False)
    assert Hops.of([hops.via(second)]).names == (first, second)


def test_what_proxies_say_of_themselves_does_not_matter() -> None:
    name = new_name()
    values = ["1.0 fred, 1.1 p.example.net (Apache/1.1, corten)", f"1.1 x, HTTP/1.1 {name} (a cache)"]
    assert Hops.of(values).names == (name,)
    assert Hops.of([]).names == ()
    assert not Hops.of([f"1.1 {name}f", "1.1 corten-1"]).names


def test_made_up_names_end_no_request_and_hide_no_ring() -> None:
    """Else who pulls could have a cache told that its upstream has nothing, and be believed for others."""
    made_up = [f"1.1 {new_name()}" for _ in range(3 * MOST)]
    ring = [new_name() for _ in range(MOST)]
    header = ", ".join(made_up)
    for name in ring:
        hops = Hops.of([header])
        assert not hops.comes_back(name)
        header = hops.via(name)
    assert Hops.of([header]).names == tuple(ring)
    assert Hops.of([header]).comes_back(ring[0])
