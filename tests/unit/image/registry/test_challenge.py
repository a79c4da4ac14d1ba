"""WWW-Authenticate, as registries write it and as nobody should."""

from hypothesis import given
from hypothesis import strategies as st

from corten.image.registry.challenge import Challenge, parse_challenges

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
CHALLENGE = st.builds(Challenge, TOKEN, st.dictionaries(TOKEN, VALUE, min_size=1, max_size=4))


def written(challenge: Challenge) -> str:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return f"{challenge.scheme} " + ", ".join(f"{k}={quoted(v)}" for k, v in challenge.parameters.items())


def test_what_registries_write() -> None:
    docker = (
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"'
    )
    (bearer,) = parse_challenges([docker])
    assert bearer == Challenge(
        "bearer",
        {
            "realm": "https://auth.docker.io/token",
            "service": "registry.docker.io",
            "scope": "repository:a/b:pull",
        },
    )
    scope = parse_challenges(['Bearer realm="x",scope="repository:a:pull,push repository:b:pull"'])
    assert scope[0].parameters["scope"] == "repository:a:pull,push repository:b:pull"
    assert parse_challenges(["Basic"]) == [Challenge("basic")]
    assert parse_challenges(["BASIC realm=plain"]) == [Challenge("basic", {"realm": "plain"})]
    both = parse_challenges(['Negotiate, Basic realm="a, b", Bearer realm="c"'])
    assert [one.scheme for one in both] == ["negotiate", "basic", "bearer"]
    assert both[1].parameters == {"realm": "a, b"}
    assert parse_challenges(["Negotiate dG9rZW4=, Basic"]) == [Challenge("negotiate"), Challenge("basic")]
    assert parse_challenges([]) == parse_challenges(["", ", ,"]) == []


@given(st.lists(CHALLENGE, max_size=4))
def test_round_trip(challenges: list[Challenge]) -> None:
    assert parse_challenges([", ".join(written(one) for one in challenges)]) == challenges
    assert parse_challenges(written(one) for one in challenges) == challenges


@given(st.lists(st.text(max_size=200), max_size=3))
def test_nothing_is_raised(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


def test_no_header_is_too_long_for_it() -> None:
    for piece in ('a="', "a=b,", "\\", '"', " ", ",", "=", 'x y="\\'):
        parse_challenges([piece * 100_000])
