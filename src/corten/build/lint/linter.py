"""Gathers what the checks find."""

from __future__ import annotations

from corten.build.lint.rules import Rule
from corten.build.lint.selection import Selection, parse_selection
from corten.build.parser.directives import check_in_comments
from corten.build.parser.syntax_tree import Node
from corten.build.parser.white_space import replace_invalid
from corten.build.progress import Warning
from corten.errors import InvalidArgument

_MOST_COMPARISONS = 50_000
"""So many names are compared with what may have been meant, in one file."""


class Linter:
    """Takes reports and turns those of rules in force into warnings. A `# check=…` among the comments above
    the instruction counts for that instruction alone; one that cannot be read says nothing."""

    def __init__(self, selection: Selection) -> None:
        self.warnings: list[Warning] = []
        self._selection = selection
        self._comparisons = 0

    def report(self, rule: Rule, node: Node, *arguments: str, line: int = 0) -> None:
        """The instruction `node` breaks `rule`; all of it, or one `line`."""
        if not self._selection_at(node).has(rule):
            return
        self.warnings.append(
            Warning(
                rule=rule.name,
                message=replace_invalid(rule.message.format(*arguments)),
                detail=rule.description,
                url=rule.url,
                lines=(line or node.start_line, line or node.end_line),
            )
        )

    def may_compare(self, count: int) -> bool:
        """Whether so many names more may be looked through for a suggestion: a file with very many mistakes
        gets its warnings without."""
        self._comparisons += count
        return self._comparisons <= _MOST_COMPARISONS

    def _selection_at(self, node: Node) -> Selection:
        own = check_in_comments(node.comments).partition(" ")[0]
        if not own:
            return self._selection
        try:
            return self._selection.merged(parse_selection(own))
        except InvalidArgument:
            return self._selection

    @property
    def failed(self) -> tuple[str, ...]:
        """The rules that were broken, where that is an error."""
        if not self._selection.fail:
            return ()
        return tuple(dict.fromkeys(warning.rule for warning in self.warnings))
