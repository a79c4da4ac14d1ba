"""References: Docker's grammar and defaults, as distribution/reference's own tables have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import InvalidArgument
from corten.oci.reference import Reference, validate_tag

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("library/foo/bar", "docker.io/library/foo/bar:latest", "library/foo/bar:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("foo:5000/app", "foo:5000/app:latest", "foo:5000/app:latest"),
        ("foo:5000", "docker.io/library/foo:5000", "foo:5000"),
        ("my.host/app:v1", "my.host/app:v1", "my.host/app:v1"),
        ("Uppercase/lower", "Uppercase/lower:latest", "Uppercase/lower:latest"),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app:latest", "[2001:db8::1]:5000/app:latest"),
        ("xn--n3h.com/myimage", "xn--n3h.com/myimage:latest", "xn--n3h.com/myimage:latest"),
        ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", "a__b/c--d.e_f:latest"),
        (f"a@sha256:{HEX}", f"docker.io/library/a@sha256:{HEX}", f"a@sha256:{HEX}"),
        (f"a:t@sha256:{HEX}", f"docker.io/library/a:t@sha256:{HEX}", f"a:t@sha256:{HEX}"),
        ("test:Tag", "docker.io/library/test:Tag", "test:Tag"),
        (HEX[:63], f"docker.io/library/{HEX[:63]}:latest", f"{HEX[:63]}:latest"),
        (f"docker/{HEX}", f"docker.io/docker/{HEX}:latest", f"docker/{HEX}:latest"),
    ],
)
def test_normalises_as_docker_does(text: str, canonical: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert reference.canonical == canonical
    assert reference.familiar == familiar


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        "Busybox",
        "docker/Docker",
        "foo/Bar:tag",
        "a///b",
        "-foo/bar",
        "foo/bar-",
        "foo/.bar",
        "foo._bar",
        "a___b",
        "_foo",
        "https://github.com/docker/docker",
        "foo:" + "t" * 129,
        "foo:.tag",
        "foo:a b",
        "foo@sha256:abc",
        f"foo@sha512:{HEX}",
        f"foo@md5:{'a' * 32}",
        f"foo@sha256:{HEX.upper()}",
        "foo/" + "a" * 256,
        "foo bar",
        "foo\n",
        "foo/",
        "/foo",
        "foo:",
        "foo:latest:more",
        "[::1/app",
    ],
)
def test_refuses_what_docker_refuses(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Reference.parse(text)


def test_64_hex_digits_are_told_apart_from_a_name() -> None:
    with pytest.raises(InvalidArgument, match="cannot specify 64-byte hexadecimal strings"):
        Reference.parse(HEX)


def test_uppercase_is_named_as_the_reason() -> None:
    with pytest.raises(InvalidArgument, match="must be lowercase"):
        Reference.parse("user/App:1")


def test_without_default_tag() -> None:
    assert Reference.parse("busybox", default_tag=False).tag is None


def test_with_tag_drops_the_digest() -> None:
    assert Reference.parse(f"a@sha256:{HEX}").with_tag("v2").familiar == "a:v2"
    with pytest.raises(InvalidArgument):
        Reference.parse("a").with_tag("no good")


@given(st.text(alphabet="aB0._-/:@[]é \n", max_size=40))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidArgument:
        return
    assert Reference.parse(reference.canonical) == reference
    assert Reference.parse(reference.familiar) == reference


_component = st.from_regex(r"\A[a-z0-9]{1,8}(?:(?:[._]|__|-{1,2})[a-z0-9]{1,8}){0,2}\Z")
_tag = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z")


@given(st.lists(_component, min_size=1, max_size=4), _tag)
def test_every_valid_name_round_trips(components: list[str], tag: str) -> None:
    reference = Reference.parse("registry.example.com:5000/" + "/".join(components) + ":" + tag)
    assert (reference.domain, reference.path, reference.tag) == (
        "registry.example.com:5000",
        "/".join(components),
        tag,
    )


def test_validate_tag() -> None:
    assert validate_tag("v1.0_x-y") == "v1.0_x-y"
    with pytest.raises(InvalidArgument):
        validate_tag("-x")
