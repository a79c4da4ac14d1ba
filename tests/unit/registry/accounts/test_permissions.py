from __future__ import annotations

import pytest

from corten.errors import InvalidArgument
from corten.registry.access import Action
from corten.registry.accounts.book import Book
from corten.registry.accounts.permissions import actions_of, parse, text_of
from corten.registry.accounts.records import Account, Kind, Known, Permission, SigningKey

PULL, PUSH, DELETE, ADMIN = Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("pull:a", {PULL}),
        ("push:a", {PULL, PUSH}),
        ("delete:a", {PULL, DELETE}),
        ("delete,push:a", {PULL, PUSH, DELETE}),
        ("admin:a", {PULL, PUSH, DELETE, ADMIN}),
    ],
)
def test_what_they_include(text: str, actions: set[Action]) -> None:
    assert actions_of(parse(text)) == actions


def test_text() -> None:
    assert parse(" push,pull,pull:team/**") == Permission("team/**", ("pull", "push"))
    assert text_of(parse("push,pull:team/**")) == "pull,push:team/**"


@pytest.mark.parametrize(
    "text", ["", "pull", "pull:", ":a", "pull,:a", "read:a", "PULL:a", "*:a", "pull:a:b"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse(text)


def book() -> Book:
    return Book(
        Known(
            1,
            (
                Account("alice", Kind.USER),
                Account("gone", Kind.USER, disabled=True),
                Account("robot$old", Kind.ROBOT, expires=1),
                Account("anonymous", Kind.ANONYMOUS),
                Account("root", Kind.USER),
                Account("half", Kind.USER),
            ),
            {
                "alice": (parse("push:team/*"), parse("delete:team/a")),
                "gone": (parse("admin:**"),),
                "anonymous": (parse("pull:public/**"),),
                "root": (parse("admin:**"),),
                "half": (parse("admin:team/**"),),
            },
            (SigningKey("old", b"", 1), SigningKey("new", b"", 2), SigningKey("next", b"", 1 << 60)),
        )
    )


def test_who_may_do_what() -> None:
    found = book()
    assert found.actions("alice", "team/a") == {PULL, PUSH, DELETE}
    assert found.actions("alice", "team/b") == {PULL, PUSH}
    assert found.actions("alice", "team/b/c") == set()
    assert found.actions("alice", "public/x") == found.actions("", "public/x") == {PULL}
    assert found.actions("", "team/a") == found.actions("nobody", "team/a") == set()
    assert found.is_administrator("root")
    assert not any(map(found.is_administrator, ("alice", "half", "", "anonymous", "nobody")))


def test_who_may_sign_in() -> None:
    found = book()
    assert found.account("alice") is not None
    assert [found.account(name) for name in ("gone", "robot$old", "anonymous", "", "nobody")] == [None] * 5


def test_the_newest_active_key_signs() -> None:
    key = book().signing_key()
    assert key is not None and key.id == "new"
    assert Book(Known(1, (), {}, ())).signing_key() is None
    alone = Book(Known(1, (), {}, (SigningKey("next", b"", 1 << 60),))).signing_key()
    assert alone is not None and alone.id == "next"
