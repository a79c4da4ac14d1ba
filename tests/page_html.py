"""HTML as a tree, strictly: every element that is opened is closed where it should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

CLOSED = frozenset({"meta", "link", "input", "img", "br", "hr"})
"""Elements without an end."""
BLOCKS = frozenset({"dd", "dt", "h1", "h2", "h3", "li", "p", "td", "th", "tr"})


@dataclass
class Element:
    """An element with its children; texts are children, too."""

    name: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    @property
    def text(self) -> str:
        """Everything that is read, white space as one space."""
        return " ".join(self._read().split())

    def _read(self) -> str:
        text = "".join(child if isinstance(child, str) else child._read() for child in self.children)
        is_block = self.name in BLOCKS or "summary" in self.attributes.get("class", "").split()
        return f" {text} " if is_block else text

    def all(self, name: str, **attributes: str) -> list[Element]:
        """Elements of a name whose attributes have these values (`class_` has that word)."""
        return [
            element
            for element in self
            if element.name == name and all(element._has(key, value) for key, value in attributes.items())
        ]

    def one(self, name: str, **attributes: str) -> Element:
        """The only one of them."""
        found = self.all(name, **attributes)
        assert len(found) == 1, f"{len(found)} <{name}> with {attributes}"
        return found[0]

    def _has(self, key: str, value: str) -> bool:
        if key == "class_":
            return value in self.attributes.get("class", "").split()
        return self.attributes.get(key.replace("_", "-")) == value


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _value in attributes]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attributes})
        self._open[-1].children.append(element)
        if tag not in CLOSED:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].name == tag, f"</{tag}> closes <{self._open[-1].name}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)

    def end(self) -> Element:
        self.close()
        assert len(self._open) == 1, f"<{self._open[-1].name}> is not closed"
        return self.root


def parse(text: str) -> Element:
    """The document; AssertionError when it is not well-formed."""
    parser = _Parser()
    parser.feed(text)
    return parser.end()
