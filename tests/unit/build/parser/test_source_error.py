"""How an error in a Dockerfile is shown."""

from __future__ import annotations

import pytest

from corten.build.instructions.parse import parse_dockerfile
from corten.build.parser.parse import parse
from corten.build.parser.source_error import DockerfileError, render


def shown(source: bytes) -> list[str]:
    with pytest.raises(DockerfileError) as raised:
        parse_dockerfile(parse(source))
    return render(raised.value, source, "web/Dockerfile").split("\n")


def test_the_word_in_its_line() -> None:
    assert shown(b"FROM a\nRUN b\n\n  COPY --form=a \\\n b c\nRUN d\nRUN e\nRUN f\n") == [
        "web/Dockerfile:4",
        "-" * 20,
        "   2 |     RUN b",
        "   3 |",
        "   4 | >>>   COPY --form=a \\",
        "     |            ^^^^^^",
        "   5 | >>>  b c",
        "   6 |     RUN d",
        "   7 |     RUN e",
        "-" * 20,
    ]


def test_a_word_in_a_continued_line() -> None:
    lines = shown("\ufeffFROM a\r\nRUN \\\r\n\t--network=her \\\r\n\tx\r\n".encode())
    assert lines[0] == "web/Dockerfile:2"
    assert lines[2:5] == ["   1 |     FROM a", "   2 | >>> RUN \\", "   3 | >>> \t--network=her \\"]
    assert lines[5] == "     |     \t^^^^^^^^^^^^^"


def test_nothing_of_the_file_drives_the_terminal() -> None:
    assert "\x1b" not in "".join(shown(b"FROM a\nFETCH \x1b[2J\x9b\n"))


def test_without_a_column() -> None:
    assert shown(b"# nothing\n") == ["web/Dockerfile:1", "-" * 20, "   1 | >>> # nothing", "-" * 20]
    assert shown(b"")[0] == "web/Dockerfile:1"


def test_an_instruction_of_very_many_lines() -> None:
    assert len(shown(b"FROM a\nFETCH \\\n" + b"x \\\n" * 10_000)) < 300
