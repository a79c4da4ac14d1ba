"""COPY, ADD and WORKDIR."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.graph import (
    Copy,
    FileOperation,
    GitSource,
    HttpSource,
    LocalSource,
    MakeDirectory,
    Merge,
    Owner,
    WriteFile,
)
from corten.build.parser.source_error import DockerfileError
from tests.unit.build.plan.planning import files, history, names, operations, plan, plan_one, vertices


async def one_file(text: str, **options: Any) -> Any:
    return files(await plan_one(text, **options))[-1]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/a/b", "/a/b"),
        ("/a//b/../c/", "/a/c/"),
        ("b", "/work/b"),
        (".", "/work/"),
        ("./", "/work/"),
        ("$nothing", "/work/"),
        ("..", "/"),
        ("../", "/"),
        ("/a/.", "/a/."),
        ("/.", "/."),
        ("../../x", "/x"),
    ],
)
async def test_destination(written: str, meant: str) -> None:
    copy = await one_file(f"FROM scratch\nWORKDIR /work\nENV nothing=\nCOPY a {written}\n")
    assert copy.destination == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [("a", "/a"), ("./a/", "/a"), ("/", "/"), (".", "/"), ("../../etc", "/etc"), ("a/*.c", "/a/*.c")],
)
async def test_source(written: str, meant: str) -> None:
    copy = await one_file(f"FROM scratch\nCOPY {written} /\n")
    assert isinstance(copy, Copy)
    assert copy.source == meant


@pytest.mark.parametrize(
    ("written", "owner"),
    [
        ("1", Owner(1)),
        ("1:2", Owner(1, 2)),
        ("root", Owner(0)),
        ("www-data:", Owner("www-data", 0)),
        (":staff", Owner(0, "staff")),
        ("$who:4294967296", Owner("me", "4294967296")),
    ],
)
async def test_owner(written: str, owner: Owner) -> None:
    copy = await one_file(f"FROM scratch\nENV who=me\nCOPY --chown={written} a b\n")
    assert copy.owner == owner


@pytest.mark.parametrize(
    ("written", "mode"), [("0644", "644"), ("7777", "7777"), ("${m}", "750"), ("u=rwX,go=rX", "u=rwX,go=rX")]
)
async def test_mode(written: str, mode: str) -> None:
    copy = await one_file(f"FROM scratch\nARG m=0750\nCOPY --chmod={written} a b\n")
    assert copy.mode == mode


@pytest.mark.parametrize("mode", ["8", "10000", "64a", "u+q", "rwx", "-1"])
async def test_no_mode(mode: str) -> None:
    with pytest.raises(DockerfileError, match="invalid chmod parameter") as raised:
        await plan(f"FROM scratch\nCOPY --chmod={mode} a b\n")
    assert raised.value.line == 2


async def test_several_sources_are_one_layer() -> None:
    image = await plan_one("FROM base\nCOPY a b c/ d/\n")
    vertex = vertices(image)[-1]
    assert [action.source for action in files(image)] == ["/a", "/b", "/c"]
    assert [type(v.operation) for v in vertex.inputs if v is not None][1:] == [LocalSource]
    assert {action.input for action in files(image)} == {1}


async def test_parents() -> None:
    image = await plan_one("FROM scratch\nCOPY --parents ./x/a.txt /y/./b/*.c src/*/./f d/\n")
    copies = files(image)
    assert all(copy.parents for copy in copies)
    assert [(copy.source, copy.include, copy.required) for copy in copies] == [
        ("/", ("x/a.txt",), ("/x/a.txt",)),
        ("/y", ("b/*.c",), ()),
        ("/src/*", ("f",), ()),
    ]
    assert history(image) == ["COPY --parents ./x/a.txt /y/./b/*.c src/*/./f d/ # buildkit"]


async def test_exclude() -> None:
    copy = await one_file("FROM scratch\nCOPY --exclude=*.o --exclude=!a.o . .\n")
    assert copy.exclude == ("*.o", "!a.o")


async def test_link_puts_a_layer_over_what_is_there() -> None:
    image = await plan_one("FROM base\nCOPY --link a /b\n")
    *_, copied, merge = vertices(image)
    assert isinstance(copied.operation, FileOperation)
    assert copied.inputs[0] is None
    assert isinstance(merge.operation, Merge)
    assert merge.inputs[1] is copied
    assert [name.partition("] ")[2] for name in names(image)][-2:] == [
        "COPY --link a /b",
        "LINK COPY --link a /b",
    ]
    assert merge.name.startswith("[2/2] ")
    assert image.layers[-1] is copied


@pytest.mark.parametrize(
    "text", ["FROM scratch\nCOPY --link a /b\n", "FROM base\nCOPY --link --chmod=7 a /b\n"]
)
async def test_link_where_there_is_nothing_to_merge(text: str) -> None:
    assert not any(isinstance(operation, Merge) for operation in operations(await plan_one(text)))


async def test_heredocs_are_files() -> None:
    image = await plan_one(
        """
        FROM scratch
        ENV who=world
        COPY --chmod=600 --chown=5 <<a <<'b' c /d/
        Hello $who "there"
        a
        Hello $who
        b
        """
    )
    copy, first, second = files(image)
    assert copy.source == "/c"
    assert first == WriteFile("/d/", "a", b'Hello world "there"\n', mode="600", owner=Owner(5))
    assert second.data == b"Hello $who\n"
    assert history(image)[-1] == "COPY --chown=5 --chmod=600 c <<a <<b /d/ # buildkit"


@pytest.mark.parametrize(("name", "file"), [("../../a", "a"), ("a/b", "b"), ("/etc/passwd", "passwd")])
async def test_a_heredoc_stays_in_the_directory_that_it_is_put_into(name: str, file: str) -> None:
    assert (await one_file(f"FROM scratch\nCOPY <<{name} /d/\nx\n{name}\n")).name == file


@pytest.mark.parametrize("name", ["..", "/", "a/.."])
async def test_a_heredoc_without_a_name(name: str) -> None:
    with pytest.raises(DockerfileError, match="a here-document cannot be the file") as raised:
        await plan(f"FROM scratch\nCOPY <<{name} /d/\nx\n{name}\n")
    assert raised.value.line == 2


async def test_many_sources() -> None:
    copies = files(
        await plan_one("FROM scratch\nADD " + "\\\n".join(f"http://x/{n} " for n in range(3000)) + "/d/\n")
    )
    assert [copy.input for copy in copies] == list(range(1, 3001))


async def test_add_unpacks_what_is_local() -> None:
    for flag, unpack in (("", True), ("--unpack=false ", False), ("--unpack ", True)):
        assert (await one_file(f"FROM scratch\nADD {flag}a.tar /b\n")).unpack is unpack
    assert (await one_file("FROM scratch\nCOPY a.tar /b\n")).unpack is False


SUM = "sha256:" + "a" * 64


async def test_add_of_a_url() -> None:
    image = await plan_one(
        f"FROM scratch\nARG v=2\nADD --checksum={SUM} https://x.org/d/a%20b-$v.tgz?q=1 /y/\n"
    )
    source, layer = vertices(image)
    assert source.operation == HttpSource("https://x.org/d/a%20b-2.tgz?q=1", "a b-2.tgz", SUM)
    (copy,) = files(image)
    assert (copy.source, copy.unpack, copy.allow_missing) == ("/a b-2.tgz", False, False)
    assert layer.inputs == (None, source)


async def test_a_name_in_a_url_is_no_pattern() -> None:
    copy = await one_file("FROM scratch\nADD http://x.org/a%5B1%5D.tgz /y/\n")
    assert copy.source == "/a[[]1].tgz"


@pytest.mark.parametrize("url", ["https://x.org", "https://x.org/", "http://x.org/..", "http://[/a"])
async def test_a_url_without_a_name(url: str) -> None:
    image = await plan_one(f"FROM scratch\nADD {url} /y/\n")
    assert operations(image)[0] == HttpSource(url, "__unnamed__")


async def test_a_url_can_be_unpacked() -> None:
    assert (await one_file("FROM scratch\nADD --unpack=true https://x.org/a.tgz /y/\n")).unpack is True


async def test_add_of_a_repository() -> None:
    image = await plan_one(
        """
        FROM scratch
        ADD --keep-git-dir=true --checksum=abc https://x.org/a.git#v1:sub /y
        ADD git@x.org:a/b?branch=main&submodules=false /z
        """
    )
    sources = [operation for operation in operations(image) if isinstance(operation, GitSource)]
    assert sources == [
        GitSource("https://x.org/a.git", "v1", "sub", keep_git_dir=True, checksum="abc"),
        GitSource("git@x.org:a/b", "refs/heads/main", submodules=False),
    ]
    assert [copy.source for copy in files(image)] == ["/", "/"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("COPY https://x.org/a /b", "source can't be a URL for COPY"),
        ("COPY https://x.org/a.git /b", "source can't be a git ref for COPY"),
        (f"ADD --checksum={SUM} a /b", r"checksum requires HTTP\(S\) or Git sources"),
        (
            f"ADD --checksum={SUM} http://x/a http://x/b /b/",
            "checksum can't be specified for multiple sources",
        ),
        ("ADD --checksum=md5:abc http://x/a /b", "invalid digest"),
        ("ADD https://x.org/a.git?nothing=1 /b", 'unexpected query "nothing"'),
        ("ADD --keep-git-dir=true https://x.org/a.git?keep-git-dir=0 /b", "inconsistent keep-git-dir"),
        ("ADD --checksum=a https://x.org/a.git?commit=b /b", 'checksum mismatch "a" != "b"'),
    ],
)
async def test_sources_that_are_refused(line: str, reason: str) -> None:
    with pytest.raises(DockerfileError, match=reason) as raised:
        await plan(f"FROM scratch\n{line}\n")
    assert raised.value.line == 2


async def test_names_show_variables() -> None:
    image = await plan_one("FROM scratch\nARG v=1\ncopy a$v $unset/b\n")
    assert names(image)[-1] == "[1/1] COPY a1 /b"


async def test_workdir_makes_the_directory() -> None:
    image = await plan_one("FROM base\nUSER 5:6\nWORKDIR /a/\nWORKDIR b/../c\nWORKDIR /\n")
    assert files(image) == [
        MakeDirectory("/a", owner=Owner(5, 6)),
        MakeDirectory("/a/c", owner=Owner(5, 6)),
    ]
    assert [step for step in history(image) if step] == [
        "USER 5:6",
        "WORKDIR /a/",
        "WORKDIR /a/c",
        "WORKDIR /",
    ]
    assert image.config.history is not None
    assert [entry.empty_layer for entry in image.config.history[1:]] == [True, False, False, True]
    assert image.config.run.working_dir == "/"
