"""Go templates, as far as Docker's `--format` uses them: fields, pipelines, functions, if, range, with.

`Template(text).render(value)`: values are what JSON gives (dict, list, str, numbers, bool, None), and
callables: these are methods with arguments (`{{.Label "com.example"}}`). Reference: https://pkg.go.dev/text/template
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from corten.cli.template_functions import FUNCTIONS, MISSING, TemplateError, to_json, to_text

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
  | (?P<number>[-+]?\d+(?:\.\d+)?)
  | (?P<assign>:=|=)
  | (?P<symbol>[()|,])
  | (?P<variable>\$\w*)
  | (?P<field>\.\w+(?!\w))
  | (?P<dot>\.(?!\w))
  | (?P<word>\w+)
  )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


__all__ = ("Template", "TemplateError", "to_json", "to_text")

Scope = list[tuple[str, Any]]
Node = Callable[[Any, Scope], str]
Expression = Callable[[Any, Scope], Any]


class Template:
    """A parsed template. `strict`: a field that is not there is an error, as for `docker inspect`."""

    def __init__(self, text: str, *, strict: bool = False) -> None:
        self._text = text
        self._strict = strict
        self._pieces = _lex(text)
        self._position = 0
        self._nodes, end = self._block(())
        if end:
            raise self._error(f"unexpected {{{{{end}}}}}")

    def render(self, value: Any) -> str:
        """The text for `value`."""
        scope: Scope = [("$", value)]
        return "".join(node(value, scope) for node in self._nodes)

    def _error(self, message: str) -> TemplateError:
        return TemplateError(f"template parsing error in {self._text!r}: {message}")

    # Blocks: text and actions between `if`/`range`/`with` and their `else` and `end`.

    def _block(self, ends: tuple[str, ...]) -> tuple[list[Node], str]:
        nodes: list[Node] = []
        while self._position < len(self._pieces):
            is_action, text = self._pieces[self._position]
            self._position += 1
            if not is_action:
                nodes.append(_literal(text))
                continue
            word, _, rest = text.strip().partition(" ")
            if word in ("end", "else"):
                if word not in ends:
                    raise self._error(f"unexpected {{{{{word}}}}}")
                return nodes, text.strip()
            if word.startswith("/*"):
                continue
            if word in ("if", "with", "range"):
                nodes.append(self._control(word, rest))
            else:
                nodes.append(self._action(text))
        if ends:
            raise self._error("unexpected EOF: an {{end}} is missing")
        return nodes, ""

    def _control(self, word: str, condition: str) -> Node:
        names, expression = self._declaration(condition)
        body, end = self._block(("else", "end"))
        otherwise: list[Node] = []
        if end.startswith("else"):
            nested = end[4:].strip()
            if nested.startswith(("if ", "with ")):
                kind, _, rest = nested.partition(" ")
                otherwise = [self._control(kind, rest)]
            else:
                otherwise, _end = self._block(("end",))
        return {"if": _if, "with": _with, "range": _range}[word](names, expression, body, otherwise)

    def _action(self, text: str) -> Node:
        names, expression = self._declaration(text)
        if not names:
            return lambda value, scope: to_text(expression(value, scope))

        def declare(value: Any, scope: Scope) -> str:
            scope.append((names[0], expression(value, scope)))
            return ""

        return declare

    # Expressions.

    def _declaration(self, text: str) -> tuple[list[str], Expression]:
        tokens = self._tokens(text)
        kinds = [kind for kind, _text in tokens]
        names: list[str] = []
        if "assign" in kinds:
            at = kinds.index("assign")
            names = [name for kind, name in tokens[:at] if kind == "variable"]
            tokens = tokens[at + 1 :]
        expression = self._pipeline(tokens)
        if tokens:
            raise self._error(f"unexpected {tokens[0][1]!r}")
        return names, expression

    def _tokens(self, text: str) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise self._error(f"unexpected {text[position:].strip()[:20]!r}")
            # A space before a field begins an argument of its own: `index .A .B` is not `index .A.B`.
            kind, token = match.lastgroup, match[match.lastgroup]
            if kind == "field" and (not tokens or match.start("field") > position):
                kind = "start-field"
            tokens.append((kind, token))
            position = match.end()
        return tokens

    def _pipeline(self, tokens: list[tuple[str, str]]) -> Expression:
        expression = self._command(tokens, None)
        while tokens and tokens[0] == ("symbol", "|"):
            del tokens[0]
            expression = self._command(tokens, expression)
        return expression

    def _command(self, tokens: list[tuple[str, str]], piped: Expression | None) -> Expression:
        if not tokens:
            raise self._error("missing value for command")
        kind, text = tokens[0]
        if kind == "word" and text in FUNCTIONS:
            del tokens[0]
            arguments = self._operands(tokens)
            if piped is not None:
                arguments.append(piped)
            return self._call(text, arguments)
        head = self._operand(tokens)
        arguments = self._operands(tokens)
        if piped is not None:
            arguments.append(piped)
        if not arguments:
            return lambda value, scope: _invoke(head(value, scope), [])
        return lambda value, scope: _invoke(
            head(value, scope), [argument(value, scope) for argument in arguments]
        )

    def _call(self, name: str, arguments: list[Expression]) -> Expression:
        function = FUNCTIONS[name]
        if name in ("and", "or"):  # these stop at the first argument that decides
            return lambda value, scope: _decide(name, arguments, value, scope)

        def call(value: Any, scope: Scope) -> Any:
            try:
                return function(*[argument(value, scope) for argument in arguments])
            except (TypeError, ValueError, KeyError, IndexError) as error:
                raise self._error(f"error calling {name}: {error}") from error

        return call

    def _operands(self, tokens: list[tuple[str, str]]) -> list[Expression]:
        operands = []
        while tokens and tokens[0] not in (("symbol", "|"), ("symbol", ")")):
            operands.append(self._operand(tokens))
        return operands

    def _operand(self, tokens: list[tuple[str, str]]) -> Expression:
        kind, text = tokens.pop(0)
        if kind == "symbol" and text == "(":
            expression = self._pipeline(tokens)
            if not tokens or tokens.pop(0) != ("symbol", ")"):
                raise self._error("unclosed left paren")
        elif kind in ("start-field", "field"):
            expression = self._field(lambda value, scope: value, text[1:])
        elif kind == "dot":
            expression = _dot
        elif kind == "variable":
            expression = self._variable(text)
        else:
            return self._constant(kind, text)
        while tokens and tokens[0][0] == "field":
            expression = self._field(expression, tokens.pop(0)[1][1:])
        return expression

    def _constant(self, kind: str, text: str) -> Expression:
        constant: Any
        if kind == "string":
            constant = text[1:-1]
            if text[0] == '"':
                constant = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), constant)
        elif kind == "number":
            constant = float(text) if "." in text else int(text)
        elif kind == "word" and text in ("true", "false", "nil"):
            constant = {"true": True, "false": False, "nil": None}[text]
        elif kind == "word":
            raise self._error(f"function {text!r} not defined")
        else:
            raise self._error(f"unexpected {text!r}")
        return lambda value, scope: constant

    def _variable(self, name: str) -> Expression:
        def look_up(value: Any, scope: Scope) -> Any:
            for known, bound in reversed(scope):
                if known == name:
                    return bound
            raise self._error(f"undefined variable {name!r}")

        return look_up

    def _field(self, base: Expression, name: str) -> Expression:
        def look_up(value: Any, scope: Scope) -> Any:
            owner = base(value, scope)
            if callable(owner):
                owner = owner()
            if isinstance(owner, dict) and name in owner:
                return owner[name]
            if self._strict and isinstance(owner, dict):
                raise self._error(f"map has no entry for key {name!r}")
            if owner is None or owner is MISSING or isinstance(owner, dict):
                return MISSING
            raise self._error(f"can't evaluate field {name} in {to_text(owner)!r}")

        return look_up


def _lex(text: str) -> list[tuple[bool, str]]:
    """Text and actions in turn; `{{-` and `-}}` trim the text beside them."""
    pieces: list[tuple[bool, str]] = []
    position, trim = 0, False
    while True:
        start = text.find("{{", position)
        literal = text[position:] if start < 0 else text[position:start]
        if trim:
            literal = literal.lstrip()
        if start < 0:
            if literal:
                pieces.append((False, literal))
            return pieces
        end = text.find("}}", start)
        if end < 0:
            raise TemplateError(f"template parsing error in {text!r}: unclosed action")
        action = text[start + 2 : end]
        if action[:1] == "-" and action[1:2].isspace():
            literal, action = literal.rstrip(), action[1:]
        trim = action[-1:] == "-" and action[-2:-1].isspace()
        if literal:
            pieces.append((False, literal))
        pieces.append((True, action[:-1] if trim else action))
        position = end + 2


def _literal(text: str) -> Node:
    return lambda value, scope: text


def _dot(value: Any, scope: Scope) -> Any:
    return value


def _invoke(target: Any, arguments: list[Any]) -> Any:
    if callable(target):
        return target(*arguments)
    if arguments:
        raise TemplateError(f"template error: can't give arguments to {to_text(target)!r}")
    return target


def _decide(name: str, arguments: list[Expression], value: Any, scope: Scope) -> Any:
    result: Any = None
    for argument in arguments:
        result = argument(value, scope)
        if bool(result) == (name == "or"):
            return result
    return result


def _inner(nodes: list[Node], value: Any, scope: Scope) -> str:
    depth = len(scope)
    text = "".join(node(value, scope) for node in nodes)
    del scope[depth:]
    return text


def _if(names: list[str], condition: Expression, body: list[Node], otherwise: list[Node]) -> Node:
    def node(value: Any, scope: Scope) -> str:
        result = condition(value, scope)
        bound = [*scope, *((name, result) for name in names)]
        return _inner(body if bool(result) else otherwise, value, bound)

    return node


def _with(names: list[str], condition: Expression, body: list[Node], otherwise: list[Node]) -> Node:
    def node(value: Any, scope: Scope) -> str:
        result = condition(value, scope)
        if not bool(result):
            return _inner(otherwise, value, scope)
        return _inner(body, result, [*scope, *((name, result) for name in names)])

    return node


def _range(names: list[str], source: Expression, body: list[Node], otherwise: list[Node]) -> Node:
    def node(value: Any, scope: Scope) -> str:
        items = source(value, scope)
        if isinstance(items, dict):
            pairs: list[tuple[Any, Any]] = sorted(items.items())
        elif isinstance(items, list | tuple):
            pairs = list(enumerate(items))
        elif isinstance(items, int) and not isinstance(items, bool):
            pairs = [(number, number) for number in range(items)]
        elif not items:
            pairs = []
        else:
            raise TemplateError(f"template error: range can't iterate over {to_text(items)}")
        if not pairs:
            return _inner(otherwise, value, scope)
        parts = []
        for key, item in pairs:
            bound = (item,) if len(names) == 1 else (key, item)
            parts.append(_inner(body, item, [*scope, *zip(names, bound, strict=False)]))
        return "".join(parts)

    return node
