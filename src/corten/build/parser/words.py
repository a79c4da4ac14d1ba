"""Words of a Dockerfile: variables, quotes and escapes, and the splitting into words.

This is a shell's word expansion as BuildKit's front end has it: `$name`, `${name}`, `${name:-word}` with
`-`, `+` and `?`, with and without the colon, `${name#pattern}`, `##`, `%`, `%%`, `${name/pattern/text}` and
`//`. Nothing runs a command, nothing globs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

import msgspec

from corten.build.parser.quotation import quoted
from corten.build.parser.shell_pattern import PatternError, ShellPattern
from corten.build.parser.white_space import SPACES, replace_invalid
from corten.errors import InvalidArgument

DEEPEST = 100
"""So deep may `${a:-${b:-…}}` be nested."""

LONGEST = 4 << 20
"""So long, in characters, may a word become: ENV that doubles a variable line by line soon fills memory."""

_LONGEST_SHOWN = 200

_SPECIAL = re.compile(r"""['"$\\`<]""")
_PARAMETERS = "@*#?-$!0"
_NO_VARIABLES: Mapping[str, str] = {}


class WordError(InvalidArgument):
    """A word that cannot be expanded; `used` and `missing` as in `Expansion`, as far as it got."""

    def __init__(self, reason: str, used: frozenset[str], missing: frozenset[str]) -> None:
        super().__init__(reason)
        self.used = used
        self.missing = missing


class Expansion(msgspec.Struct, frozen=True):
    """`used` are the variables that were found, `missing` those that were looked up in vain."""

    text: str
    used: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


class WordLexer(msgspec.Struct, frozen=True, kw_only=True):
    """How words are read. `escape` is the escape character of the file. `keep_quotes` and `keep_escapes`
    leave these characters in the result (they still mean what they mean); without `quoting`, quotes mean
    nothing (in here-documents); `keep_missing` leaves references to variables that are not set as they
    are."""

    escape: str = "\\"
    keep_quotes: bool = False
    keep_escapes: bool = False
    quoting: bool = True
    keep_missing: bool = False

    def expand(self, word: str, variables: Mapping[str, str] = _NO_VARIABLES) -> Expansion:
        """One word, however much white space it has. Raises WordError."""
        word = _scanned(word)
        if not _SPECIAL.search(word):
            return Expansion(word)
        reader = _Reader(self, word, variables)
        with _located(reader):
            text = reader.read_until("")
        return Expansion(text, frozenset(reader.used), frozenset(reader.missing))

    def split(self, word: str, variables: Mapping[str, str] = _NO_VARIABLES) -> tuple[str, ...]:
        """The words that `word` becomes: split at unquoted white space, that of variables as well.
        Raises WordError."""
        word = _scanned(word)
        words = _Words()
        if not _SPECIAL.search(word):
            words.add(word)
        else:
            reader = _Reader(self, word, variables)
            with _located(reader):
                reader.read_until("", words)
        return words.finish()


def _scanned(word: str) -> str:
    return replace_invalid(word.removeprefix("\ufeff"))


@contextlib.contextmanager
def _located(reader: _Reader) -> Iterator[None]:
    try:
        yield
    except _Syntax as error:
        word = reader.source
        if len(word) > _LONGEST_SHOWN:
            word = word[:_LONGEST_SHOWN] + "…"
        raise WordError(
            f"failed to process {quoted(word)}: {error}",
            frozenset(reader.used),
            frozenset(reader.missing),
        ) from None


class _Syntax(Exception):
    """Caught by `_located`, which knows the whole word."""


class _Words:
    """Gathers words. `add` takes text that is split at its white space, `add_whole` text that is not."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        pieces = SPACES.split(text)
        self.add_whole(pieces[0])
        for piece in pieces[1:]:
            self._end()
            self.add_whole(piece)

    def add_whole(self, text: str) -> None:
        if text:
            self._parts.append(text)

    def _end(self) -> None:
        if self._parts:
            self._words.append("".join(self._parts))
            self._parts = []

    def finish(self) -> tuple[str, ...]:
        self._end()
        return tuple(self._words)


class _Reader:
    """Reads one word from its start to its end. Every method begins at `position` and leaves it behind
    what it read."""

    def __init__(self, lexer: WordLexer, source: str, variables: Mapping[str, str]) -> None:
        self.lexer = lexer
        self.source = source
        self.variables = variables
        self.position = 0
        self.used: set[str] = set()
        self.missing: set[str] = set()
        self._depth = 0
        self._keep_escapes = lexer.keep_escapes
        self._length = 0

    def _peek(self) -> str:
        """The next character; empty at the end."""
        return self.source[self.position : self.position + 1]

    def _next(self) -> str:
        character = self._peek()
        self.position += 1
        return character

    def _grow(self, text: str) -> str:
        self._length += len(text)
        if self._length > LONGEST:
            raise _Syntax(f"the result is longer than {LONGEST >> 20} Mi characters")
        return text

    def read_until(self, stop: str, words: _Words | None = None) -> str:
        """All up to the character `stop`, which is read as well; empty: up to the end."""
        result: list[str] = []
        plain = _PLAIN[self.lexer.escape, self.lexer.quoting, stop]
        while (character := self._peek()) and character != stop:
            whole = False
            if (run := plain.match(self.source, self.position)) is not None:
                self.position = run.end()
                text = run[0]
            elif character == "$":
                text = self._grow(self._dollar())
            else:
                text = self._marked(character)
                whole = True
            result.append(text)
            if words is not None:
                words.add_whole(text) if whole else words.add(text)
        if stop:
            if not character:
                raise _Syntax(f"unexpected end of statement while looking for matching {stop}")
            self.position += 1
        return "".join(result)

    def _marked(self, character: str) -> str:
        """What is no place to split a word, whatever white space it has."""
        if character == "<":
            return self._redirection()
        if character == self.lexer.escape:
            return self._escape()
        return self._single_quotes() if character == "'" else self._double_quotes()

    def _escape(self) -> str:
        """An escaped character; nothing, where the escape character is the last one."""
        escape = self._next()
        return (escape if self._keep_escapes else "") + self._next()

    def _redirection(self) -> str:
        """`<`, or `<<` with the blanks behind it, which belong to the word of a here-document."""
        start = self.position
        self.position += 1
        if self._peek() == "<":
            self.position += 1
            while self._peek() in ("\t", "\r", " "):
                self.position += 1
        return self.source[start : self.position]

    def _single_quotes(self) -> str:
        end = self.source.find("'", self.position + 1)
        if end < 0:
            self.position = len(self.source)
            raise _Syntax("unexpected end of statement while looking for matching single-quote")
        start, self.position = self.position, end + 1
        return self.source[start : end + 1] if self.lexer.keep_quotes else self.source[start + 1 : end]

    def _double_quotes(self) -> str:
        """Between double quotes, the escape character escapes `"`, `$` and itself; before anything else
        it is an ordinary character."""
        escape = self.lexer.escape
        quote = self._next()
        result = [quote] if self.lexer.keep_quotes else []
        plain = _QUOTED[escape]
        while character := self._peek():
            if (run := plain.match(self.source, self.position)) is not None:
                self.position = run.end()
                result.append(run[0])
            elif character == quote:
                self.position += 1
                if self.lexer.keep_quotes:
                    result.append(quote)
                return "".join(result)
            elif character == "$":
                result.append(self._grow(self._dollar()))
            else:
                self.position += 1
                if self._keep_escapes:
                    result.append(escape)
                if (escaped := self._peek()) in ('"', "$", escape):
                    self.position += 1
                    result.append(escaped)
                else:
                    result.append(escape)
        raise _Syntax("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self.position += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._look_up(name)
            return f"${name}" if value is None and self.lexer.keep_missing else value or ""
        self.position += 1
        if not self._peek():
            raise _Syntax("syntax error: missing '}'")
        if self._peek() in ("{", "}", ":"):
            raise _Syntax("syntax error: bad substitution")
        self._depth += 1
        if self._depth > DEEPEST:
            raise _Syntax(f"substitutions are nested more than {DEEPEST} deep")
        text = self._substitution(self._name())
        self._depth -= 1
        return text

    def _substitution(self, name: str) -> str:
        """What stands behind the name, with the brace that ends it."""
        modifier = self._next()
        if modifier == "}":
            value = self._look_up(name)
            return f"${{{name}}}" if value is None and self.lexer.keep_missing else value or ""
        if modifier == "/":
            return self._replacement(name)
        if modifier == ":":
            modifier += self._next()
        if modifier in ("#", "%"):
            return self._trimmed(name, modifier)
        if not modifier.removeprefix(":"):
            raise _Syntax("syntax error: missing '}'")
        if modifier not in ("-", "+", "?", ":-", ":+", ":?"):
            raise _Syntax(f"unsupported modifier ({modifier}) in substitution")
        return self._conditional(name, modifier)

    def _conditional(self, name: str, modifier: str) -> str:
        word = self._part("}", keep_escapes=False, missing="missing '}'")
        value = self._look_up(name)
        if value is None and self.lexer.keep_missing:
            return f"${{{name}{modifier}{word}}}"
        is_set = bool(value) if modifier[0] == ":" else value is not None
        match modifier[-1]:
            case "-":
                return value or "" if is_set else word
            case "+":
                return word if is_set else ""
        if not is_set:
            state = "unset" if value is None else "empty"
            raise _Syntax(f"{name}: {word or f'is not allowed to be {state}'}")
        return value or ""

    def _trimmed(self, name: str, modifier: str) -> str:
        pattern = self._part("}", keep_escapes=True, missing="missing '}'")
        value = self._look_up(name)
        if value is None and self.lexer.keep_missing:
            return f"${{{name}{modifier}{pattern}}}"
        longest = pattern.startswith(modifier)
        shell_pattern = _pattern(pattern[1:] if longest else pattern)
        if modifier == "#":
            return shell_pattern.trim_prefix(value or "", longest)
        return shell_pattern.trim_suffix(value or "", longest)

    def _replacement(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self.position += everywhere
        pattern = self._part("/", keep_escapes=True, missing="missing '/' in ${}")
        replacement = self._part("}", keep_escapes=True, missing="missing '}'")
        value = self._look_up(name)
        if value is None and self.lexer.keep_missing:
            return f"${{{name}/{pattern}/{replacement}}}"
        try:
            return _pattern(pattern).replace(value or "", replacement, everywhere, LONGEST)
        except PatternError as error:
            raise _Syntax(str(error)) from None

    def _part(self, stop: str, *, keep_escapes: bool, missing: str) -> str:
        before, self._keep_escapes = self._keep_escapes, keep_escapes
        try:
            return self.read_until(stop)
        except _Syntax:
            if self.position >= len(self.source):
                raise _Syntax(f"syntax error: {missing}") from None
            raise
        finally:
            self._keep_escapes = before

    def _name(self) -> str:
        """Letters, digits and underscores; digits only, where the first is one; or a special parameter."""
        start = self.position
        first = self._peek()
        if first.isdecimal():
            while self._peek().isdecimal():
                self.position += 1
        elif first and first in _PARAMETERS:
            self.position += 1
        else:
            while (character := self._peek()) and (
                character.isalpha() or character.isdecimal() or character == "_"
            ):
                self.position += 1
        return self.source[start : self.position]

    def _look_up(self, name: str) -> str | None:
        value = self.variables.get(name)
        (self.missing if value is None else self.used).add(name)
        return value


def _pattern(text: str) -> ShellPattern:
    try:
        return ShellPattern(text)
    except PatternError as error:
        raise _Syntax(f"invalid pattern ({text}) in substitution: {error}") from None


_QUOTED = {escape: re.compile(rf'[^"${re.escape(escape)}]+') for escape in ("\\", "`")}

_PLAIN = {
    (escape, quoting, stop): re.compile(f"[^$<{re.escape(escape + stop)}{quotes}]+")
    for escape in ("\\", "`")
    for quoting, quotes in ((True, "'\""), (False, ""))
    for stop in ("", "}", "/")
}
"""Runs of characters that mean nothing, up to `stop`."""
