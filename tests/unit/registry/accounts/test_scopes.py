from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corten.registry.access import Action
from corten.registry.accounts.scopes import Asked, parse, text_of, words_of
from corten.registry.names import is_repository

PULL, PUSH = Action.PULL, Action.PUSH
EVERY = frozenset({Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN})


@pytest.mark.parametrize(
    ("texts", "repositories", "catalog"),
    [
        ([], {}, False),
        (["repository:a/b:pull"], {"a/b": {PULL}}, False),
        (["repository:a/b:pull,push", "repository:a/b:delete"], {"a/b": {PULL, PUSH, Action.DELETE}}, False),
        (["repository:a:pull repository:b:push"], {"a": {PULL}, "b": {PUSH}}, False),
        (["repository:a:*"], {"a": EVERY}, False),
        (["repository(plugin):a:pull"], {"a": {PULL}}, False),
        (["registry:catalog:*"], {}, True),
        (["registry:catalog:pull", "registry:x:*", "other:a:pull", "repository:a"], {}, False),
        (["repository:a:", "repository:a:fly", "repository::pull", "repository:A:pull", ":"], {}, False),
        (["repository:a:pull,fly"], {"a": {PULL}}, False),
        (
            ["repository:host:5000/a:pull", "repository:../a:pull", "repository:" + "a" * 256 + ":pull"],
            {},
            False,
        ),
    ],
)
def test_what_they_ask_for(texts: list[str], repositories: dict[str, set[Action]], catalog: bool) -> None:
    assert parse(texts) == Asked({name: frozenset(a) for name, a in repositories.items()}, catalog)


@given(st.lists(st.text(st.sampled_from("repositygal:,/* ()._-ABpuh\n\0é"), max_size=60), max_size=5))
@example(["repository:a:pull,push,*"])
def test_nothing_that_is_no_repository_comes_out(texts: list[str]) -> None:
    found = parse(texts)
    assert all(
        is_repository(name) and actions <= EVERY and actions for name, actions in found.repositories.items()
    )
    assert parse([text_of(found)]) == found


_NAMES = st.from_regex(r"[a-z0-9]+(/[a-z0-9]+){0,3}", fullmatch=True)
_ACTIONS = st.sets(st.sampled_from(sorted(EVERY, key=str)), min_size=1)


@given(st.dictionaries(_NAMES.filter(is_repository), _ACTIONS, max_size=5), st.booleans())
def test_what_is_written_is_read_again(repositories: dict[str, set[Action]], catalog: bool) -> None:
    asked = Asked({name: frozenset(actions) for name, actions in repositories.items()}, catalog)
    assert parse([text_of(asked)]) == asked
    apart = [f"repository:{name}:{word}" for name, found in repositories.items() for word in words_of(found)]
    assert parse(apart) == Asked(asked.repositories)
