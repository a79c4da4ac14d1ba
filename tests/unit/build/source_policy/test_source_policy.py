"""Source policies: what BuildKit's engine does with the same rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corten.build.graph import GitSource, HttpSource, LocalSource
from corten.build.plan.model import ResolvedImage
from corten.build.plan.policed import PolicedImages
from corten.build.source_policy.evaluation import Named, evaluate
from corten.build.source_policy.model import Action, Condition, MatchType, Policy, parse_policy
from corten.build.source_policy.sources import SourcePolicy, named_source
from corten.errors import Denied, InvalidArgument, Unsupported
from corten.oci.image_config import ImageConfig
from corten.oci.platform import Platform

BUSYBOX = "docker-image://docker.io/library/busybox:latest"
ALPINE = "docker-image://docker.io/library/alpine:latest"
PINNED = "docker.io/library/busybox:latest@sha256:" + "a" * 64


def policy(
    *rules: tuple[str, str, Any] | tuple[str, str], match: str = "WILDCARD", **selector: Any
) -> Policy:
    found = []
    for action, identifier, *updates in rules:
        rule = {"action": action, "selector": {"identifier": identifier, "matchType": match, **selector}}
        if updates:
            rule["updates"] = {"identifier": updates[0]} if isinstance(updates[0], str) else updates[0]
        found.append(rule)
    return parse_policy(json.dumps({"version": 1, "rules": found}).encode())


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([("DENY", BUSYBOX)], False),
        ([("DENY", "*")], False),
        ([("DENY", ALPINE)], True),
        ([("DENY", BUSYBOX), ("ALLOW", BUSYBOX)], True),
        ([("ALLOW", BUSYBOX), ("DENY", "docker-image://*")], False),
        ([("DENY", "docker-image://*"), ("ALLOW", "docker-image://docker.io/library/*")], True),
        ([("CONVERT", BUSYBOX, ALPINE), ("DENY", "docker-image://docker.io/library/alpine:*")], False),
        ([("DENY", BUSYBOX), ("CONVERT", BUSYBOX, ALPINE)], True),
    ],
)
def test_the_last_rule_counts(rules: list[Any], allowed: bool) -> None:
    if allowed:
        evaluate(policy(*rules), Named(BUSYBOX))
    else:
        with pytest.raises(Denied):
            evaluate(policy(*rules), Named(BUSYBOX))


def test_the_sentence_names_source_and_rule() -> None:
    rules = policy(("ALLOW", "*"), ("CONVERT", BUSYBOX, ALPINE), ("DENY", "*alpine*"))
    with pytest.raises(Denied) as error:
        evaluate(rules, Named(BUSYBOX))
    assert error.value.message == (
        f"source {ALPINE} (converted from {BUSYBOX}) is denied by rule 3 of the source policy, DENY *alpine*"
    )


@pytest.mark.parametrize(
    ("match", "pattern", "update", "found"),
    [
        ("EXACT", BUSYBOX, ALPINE, ALPINE),
        ("EXACT", "docker-image://*", ALPINE, BUSYBOX),
        (
            "WILDCARD",
            "docker-image://docker.io/library/*:*",
            "docker-image://r/$1:${2}x",
            "docker-image://r/busybox:latestx",
        ),
        (
            "REGEX",
            r"docker\.io/(library)/",
            "r.example/${1}-$$/",
            "docker-image://r.example/library-$/busybox:latest",
        ),
        ("REGEX", r"(?P<all>.*)y", "${all}${none}y", BUSYBOX),
    ],
    ids=["exact", "exact-no-wildcard", "wildcard", "regex", "named"],
)
def test_conversions(match: str, pattern: str, update: str, found: str) -> None:
    once = policy(("CONVERT", pattern, update), match=match)
    if match == "WILDCARD":
        once = Policy((*policy(("DENY", "nothing")).rules, *once.rules))
    assert evaluate(once, Named(BUSYBOX)).identifier == found


def test_a_circle_ends() -> None:
    with pytest.raises(InvalidArgument, match="in a circle"):
        evaluate(policy(("CONVERT", BUSYBOX, ALPINE), ("CONVERT", ALPINE, BUSYBOX)), Named(BUSYBOX))


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("EQUAL", "x1", True),
        ("EQUAL", "x", False),
        ("NOTEQUAL", "x", True),
        ("MATCHES", r"\d$", True),
        ("MATCHES", "y", False),
    ],
)
def test_constraints(condition: str, value: str, holds: bool) -> None:
    rules = policy(("DENY", "*"), constraints=[{"key": "k", "value": value, "condition": condition}])
    if holds:
        with pytest.raises(Denied):
            evaluate(rules, Named(BUSYBOX, {"k": "x1"}))
    else:
        evaluate(rules, Named(BUSYBOX, {"k": "x1"}))


def test_both_spellings_and_numbers() -> None:
    text = (
        b'{"rules":[{"action":1,"selector":{"identifier":"a","match_type":2,'
        b'"constraints":[{"key":"k","condition":2}]}}]}'
    )
    (rule,) = parse_policy(text).rules
    assert (rule.action, rule.selector.match_type) == (Action.DENY, MatchType.REGEX)
    assert rule.selector.constraints[0].condition is Condition.MATCHES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ('{"version": 2}', "has version 2"),
        ('{"rules": [{"action": "FORBID", "selector": {}}]}', "'FORBID' is none of ALLOW, DENY, CONVERT"),
        ('{"rules": [{"actoin": "DENY", "selector": {}}]}', "actoin"),
        ('{"rules": [{"action": "CONVERT", "selector": {}}]}', "has no updates"),
        ("[" * 100_000, "recursion"),
        ("[" * 900 + "]" * 900, "cannot be read"),
    ],
    ids=["json", "version", "action", "field", "updates", "deep", "nested"],
)
def test_what_is_no_policy(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        parse_policy(text.encode())


def test_images_are_pinned_and_other_kinds_refused() -> None:
    pinning = SourcePolicy(policy(("CONVERT", BUSYBOX, f"docker-image://{PINNED}")))
    assert pinning.image("docker.io/library/busybox:latest") == PINNED
    assert pinning.image("docker.io/library/debian:12") == "docker.io/library/debian:12"
    with pytest.raises(Unsupported, match="another kind"):
        SourcePolicy(policy(("CONVERT", "*", "https://x/y"))).image("docker.io/library/busybox:latest")


def test_downloads_get_a_checksum() -> None:
    source, checksum = HttpSource("https://h/f", "f"), "sha256:" + "b" * 64
    rules = policy(("CONVERT", "https://h/*", {"attrs": {"http.checksum": checksum}}))
    assert SourcePolicy(rules).source(source) == (
        HttpSource("https://h/f", "f", checksum),
        f"http.checksum={checksum}",
    )
    moved, _ = SourcePolicy(policy(("CONVERT", "https://h/*", "https://mirror/$1"))).source(source)
    assert moved == HttpSource("https://mirror/f", "f")


def test_repositories() -> None:
    source = GitSource("https://h.example/a/b.git", "main", "sub", keep_git_dir=True)
    named = named_source(source)
    assert named.identifier == "git://h.example/a/b.git#main:sub"
    assert named.attrs == {"git.fullurl": source.remote, "git.keepgitdir": "true"}
    assert named_source(GitSource("git@h.example:a/b.git")).identifier == "git://h.example/a/b.git"
    moved, _ = SourcePolicy(policy(("CONVERT", "git://h.example/*#main*", "git://m.example/$1#v1$2"))).source(
        source
    )
    assert moved == GitSource("https://m.example/a/b.git", "v1", "sub", keep_git_dir=True)


def test_contexts_can_be_denied() -> None:
    with pytest.raises(Denied, match="local://context"):
        SourcePolicy(policy(("DENY", "local://*"))).source(LocalSource("context"))


@pytest.mark.parametrize(("pattern", "holds"), [(r"dir\\z$", True), (r"z\z", True), (r"dir\z", False)])
def test_the_end_is_written_as_in_go(pattern: str, holds: bool) -> None:
    rules = policy(("DENY", pattern), match="REGEX")
    if holds:
        with pytest.raises(Denied):
            evaluate(rules, Named(r"local://dir\z"))
    else:
        evaluate(rules, Named(r"local://dir\z"))


class Pinning:
    """Images that all exist, with a digest that tells how often one was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
        self.asked.append(reference)
        return ResolvedImage(f"{reference}@sha256:{len(self.asked):064}", ImageConfig("linux", "amd64"))

    async def resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        raise AssertionError


async def test_each_digest_that_is_found_is_judged() -> None:
    images, platform = Pinning(), Platform("linux", "amd64")
    moved = ("CONVERT", "docker-image://docker.io/library/busybox:latest@*", ALPINE)
    with pytest.raises(Denied, match=r"alpine:latest@sha256:0+2 is denied"):
        await PolicedImages(images, SourcePolicy(policy(moved, ("DENY", "*alpine*@*")))).resolve(
            "docker.io/library/busybox:latest", platform
        )
    assert images.asked == ["docker.io/library/busybox:latest", "docker.io/library/alpine:latest"]


async def test_an_image_is_looked_up_once_where_its_digest_changes_nothing() -> None:
    images, platform = Pinning(), Platform("linux", "amd64")
    rules = policy(("CONVERT", "docker-image://docker.io/library/alpine:*", ALPINE))
    await PolicedImages(images, SourcePolicy(rules)).resolve("docker.io/library/alpine:3", platform)
    assert images.asked == ["docker.io/library/alpine:latest"]
