"""Words: variables, quotes, escapes, splitting."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corten.build.parser.words import DEEPEST, LONGEST, WordError, WordLexer

VARIABLES = {"name": "value", "empty": "", "path": "/usr/lib/x.tar.gz", "two": "one  two"}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("$name${name}", "valuevalue"),
        ("$nothing", ""),
        ("$1x$@", "x"),
        ("a$", "a$"),
        ("a$/b", "a$/b"),
        ("'$name'", "$name"),
        ('"$name\'s"', "value's"),
        ('"a\\"b\\$c\\\\d\\e"', 'a"b$c\\d\\e'),
        ("a\\$name", "a$name"),
        ("end\\", "end"),
        ("${empty:-x}${empty-x}${nothing-x}", "xx"),
        ("${empty:+x}${empty+x}${nothing+x}${name:+y}", "xy"),
        ("${name?never}${empty?never}", "value"),
        ("${nothing:-${empty:-deep'er'}}", "deeper"),
        ("${path#*/}", "usr/lib/x.tar.gz"),
        ("${path##*/}", "x.tar.gz"),
        ("${path%.*}", "/usr/lib/x.tar"),
        ("${path%%.*}", "/usr/lib/x"),
        ("${path%.??}", "/usr/lib/x.tar"),
        ("${path/\\/lib/-}", "/usr-/x.tar.gz"),
        ("${path//\\//:}", ":usr:lib:x.tar.gz"),
        ("${path//r?/<$name>}", "/us<value>lib/x.ta<value>gz"),
        ("${path/nothing/x}", "/usr/lib/x.tar.gz"),
        ("${two//o/0}", "0ne  tw0"),
        ("${name/*/}", ""),
        ("${empty//x/y}", ""),
        ("${name#v*e}", ""),
        ("${name%}", "value"),
        ("a<b<<c", "a<b<<c"),
    ],
)
def test_expand(word: str, expected: str) -> None:
    assert WordLexer().expand(word, VARIABLES).text == expected


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("'a", "single-quote"),
        ('"a', "double-quote"),
        ("${name", "missing '}'"),
        ("${", "missing '}'"),
        ("${}", "bad substitution"),
        ("${:x}", "bad substitution"),
        ("${name=x}", "unsupported modifier (=)"),
        ("${name:x}", "unsupported modifier (:x)"),
        ("${name:#x}", "unsupported modifier (:#)"),
        ("${name:", "missing '}'"),
        ("${.}", "unsupported modifier (.)"),
        ("${nothing?}", "nothing: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${nothing?say $name}", "nothing: say value"),
        ("${name/a}", "missing '/'"),
        ("${name#\\a}", "invalid escape '\\a'"),
        ("${a:-" * (DEEPEST + 1), "nested"),
    ],
)
def test_errors(word: str, reason: str) -> None:
    with pytest.raises(WordError) as raised:
        WordLexer().expand(word, VARIABLES)
    assert reason in raised.value.message


def test_what_was_used_and_what_was_missing() -> None:
    expansion = WordLexer().expand("$name ${nothing:-$empty} ${name} '$quoted'", VARIABLES)
    assert expansion.used == {"name", "empty"}
    assert expansion.missing == {"nothing"}
    with pytest.raises(WordError) as raised:
        WordLexer().expand("$name${nothing?}", VARIABLES)
    assert (raised.value.used, raised.value.missing) == ({"name"}, {"nothing"})


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a  b\tc", ("a", "b", "c")),
        ("a'b  c'd e", ("ab  cd", "e")),
        ("x$two", ("xone", "two")),
        ('x"$two"y', ("xone  twoy",)),
        ("\"\" ''", ()),
        ("a\\ b", ("a b",)),
        ("\u00a0a\u00a0b\x1cc", ("a", "b\x1cc")),
        (" $nothing ", ()),
        ("${nothing:-a b}c", ("a", "bc")),
        ("a << b", ("a", "<< b")),
    ],
)
def test_split(word: str, expected: tuple[str, ...]) -> None:
    assert WordLexer().split(word, VARIABLES) == expected


def test_ways_to_read() -> None:
    assert WordLexer(escape="`").expand("a`$b\\c`", {}).text == "a$b\\c"
    assert WordLexer(keep_quotes=True).expand("'a' \"$name\"", VARIABLES).text == "'a' \"value\""
    assert WordLexer(keep_escapes=True).expand("a\\b", {}).text == "a\\b"
    assert WordLexer(quoting=False).expand('don\'t "$name" \\$x', VARIABLES).text == 'don\'t "value" $x'
    kept = "$a ${a} ${a:-b} ${a#b} ${a/b/c}"
    assert WordLexer(keep_missing=True).expand(kept, {}).text == kept


def test_line_feeds_stop_a_star() -> None:
    lines = {"v": "ab\ncb"}
    assert WordLexer().expand("${v##*b}", lines).text == "\ncb"
    assert WordLexer().expand("${v%%a*}", lines).text == "ab\ncb"
    assert WordLexer().expand("${v/*/x}", lines).text == "x\ncb"
    assert WordLexer().expand("${v//?b/x}", lines).text == "x\nx"


def test_a_result_that_grows_without_end() -> None:
    big = {"v": "x" * (LONGEST // 2)}
    with pytest.raises(WordError, match="longer than"):
        WordLexer().expand("$v$v$v", big)
    with pytest.raises(WordError, match="more than"):
        WordLexer().expand("${v//x/1234}", big)


def test_patterns_that_could_take_forever() -> None:
    long = {"v": "a" * 20_000}
    assert WordLexer().expand("${v#" + "*a" * 30 + "*b}", long).text == long["v"]
    assert WordLexer().expand("${v/" + "a*" * 30 + "b/x}", long).text == long["v"]


@settings(deadline=None)
@given(st.text(), st.dictionaries(st.sampled_from("abc"), st.text(max_size=5)), st.sampled_from("\\`"))
def test_only_its_own_error(word: str, variables: dict[str, str], escape: str) -> None:
    lexer = WordLexer(escape=escape)
    try:
        lexer.expand(word, variables)
        lexer.split(word, variables)
    except WordError:
        pass


_SYNTAX = st.lists(
    st.sampled_from(
        [
            "$a",
            "${a}",
            "${b",
            "}",
            ":-",
            "-",
            "+",
            "?",
            "#",
            "%",
            "/",
            "//",
            "*",
            "'",
            '"',
            "\\",
            "x",
            " ",
            "<",
        ]
    )
).map("".join)


@settings(deadline=None)
@given(_SYNTAX, st.dictionaries(st.sampled_from("ab"), st.text("ab x\n", max_size=5)), st.booleans())
def test_only_its_own_error_in_what_looks_like_substitutions(
    word: str, variables: dict[str, str], keep_missing: bool
) -> None:
    try:
        WordLexer(keep_missing=keep_missing).expand(word, variables)
    except WordError:
        pass


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quotes_and_escapes_keep_everything(text: str) -> None:
    lexer = WordLexer()
    assert lexer.expand("".join("\\" + character for character in text)).text == text
    assert lexer.expand("'" + text.replace("'", "'\\''") + "'").text == text
    quoted = "".join("\\" + c if c in '"$\\' else c for c in text)
    assert lexer.expand(f'"{quoted}"').text == text
