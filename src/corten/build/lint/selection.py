"""Which checks are made: `# check=skip=…;error=true;experimental=…`."""

from __future__ import annotations

import msgspec

from corten.build.lint.rules import Rule
from corten.build.parser.quotation import quoted
from corten.errors import InvalidArgument

_ALL = "all"
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class Selection(msgspec.Struct, frozen=True):
    """Rules by name; `all` stands for each. `fail`: warnings end the build."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    fail: bool = False

    def has(self, rule: Rule) -> bool:
        """Whether the rule is in force."""
        if rule.experimental:
            return bool(self.experimental & {rule.name, _ALL})
        return not self.skip & {rule.name, _ALL}

    def merged(self, other: Selection) -> Selection:
        """What `other` skips or adds besides, for one instruction."""
        return Selection(self.skip | other.skip, self.experimental | other.experimental, self.fail)


SILENT = Selection(skip=frozenset({_ALL}))
"""Nothing is checked."""


def parse_selection(text: str) -> Selection:
    """The value of `# check=`, or of BUILDKIT_DOCKERFILE_CHECK. InvalidArgument."""
    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    fail = False
    text = text.strip()
    for part in text.split(";", 2) if text else ():
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise InvalidArgument(f"invalid check option {quoted(part)}")
        if name == "skip":
            skip = _names(value)
        elif name == "experimental":
            experimental = _names(value)
        elif name == "error":
            if value not in _BOOLEANS:
                raise InvalidArgument(
                    f"failed to parse check option {quoted(part)}: {quoted(value)} is neither true nor false"
                )
            fail = _BOOLEANS[value]
        else:
            raise InvalidArgument(
                f"invalid check option {quoted(name)}: expected skip, experimental or error"
            )
    return Selection(skip, experimental, fail)


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(","))
