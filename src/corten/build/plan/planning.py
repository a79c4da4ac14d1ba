"""What the planning of one platform works with: the request, the linter, the stages, and how variables are
expanded, steps are named and the history is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from corten.build.graph import LocalSource, Vertex
from corten.build.instructions.expansion import expand
from corten.build.instructions.types import Instruction
from corten.build.lint.ignored_sources import IgnoredSources
from corten.build.lint.linter import Linter
from corten.build.lint.variables import report_undefined
from corten.build.parser.source_error import DockerfileError, error_at
from corten.build.parser.words import WordError, WordLexer
from corten.build.plan.image_draft import history_entry
from corten.build.plan.model import PlanOptions
from corten.build.plan.outline_record import DeclaredArgument
from corten.build.plan.platforms import cross_suffix
from corten.build.plan.stage_state import Command, StageState
from corten.build.plan.stages import StageTable
from corten.build.plan.vertices import VertexTable
from corten.oci.platform import Platform

_Any = TypeVar("_Any", bound=Instruction)

_MOST_VARIABLES = 20_000_000
"""So many variables may all RUN instructions and stages have together: each has a list of its own."""

_MOST_CHARACTERS = 128 << 20
"""So long may all be that variables expand to, and the history: ARG of some length and RUN, again and again,
would fill memory."""

_HEREDOC = WordLexer(quoting=False)

NOT_ENVIRONMENT = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
"""ARGs that are for the builder alone."""


@dataclass(eq=False, slots=True)
class Planning:
    """One platform of one build. `build_args` are those of the request, `global_args` what FROM sees, and
    `declared` where those come from. `is_implicit`: nobody has asked for this platform. `epoch`: the
    SOURCE_DATE_EPOCH that was given, in seconds."""

    options: PlanOptions
    lexer: WordLexer
    linter: Linter
    vertices: VertexTable
    stages: StageTable
    build: Platform
    target: Platform
    is_implicit: bool
    build_args: Mapping[str, str]
    global_args: dict[str, str]
    declared: dict[str, DeclaredArgument]
    ignored: IgnoredSources
    epoch: int | None = None
    proxy: tuple[tuple[str, str], ...] = ()
    _variables: int = field(default=0)
    _characters: int = field(default=0)
    _context: Vertex | None = field(default=None)

    @property
    def shows_platform(self) -> bool:
        """Whether names of steps say for which platform they are."""
        return len(self.options.platforms) > 1

    def context(self) -> Vertex:
        """The build context."""
        if self._context is None:
            source = LocalSource("context", self.options.ignore)
            self._context = self.vertices.make(source, name="[internal] load build context")
        return self._context

    @property
    def hostname(self) -> str:
        """That of the containers of RUN; empty: any."""
        return self.build_args.get("BUILDKIT_SANDBOX_HOSTNAME") or self.options.hostname

    def expanded(self, state: StageState, instruction: _Any) -> _Any:
        """The instruction with its variables; what is not defined is reported. Raises DockerfileError."""

        def using(lexer: WordLexer) -> Callable[[str], str]:
            def word(text: str) -> str:
                return self.expand_word(state, instruction, text, lexer)

            return word

        return expand(instruction, using(self.lexer), using(_HEREDOC))

    def expand_word(
        self, state: StageState, instruction: Instruction, text: str, lexer: WordLexer | None = None
    ) -> str:
        """One word, with the variables of the stage. Raises WordError."""
        try:
            result = (lexer or self.lexer).expand(text, state.environment)
        except WordError as error:
            self._report_missing(state, instruction, error.missing)
            raise
        if result.missing:
            self._report_missing(state, instruction, result.missing)
        if result.used:
            self._charge_text(instruction.lines, len(result.text))
        return result.text

    def expand_words(self, state: StageState, instruction: Instruction, text: str) -> tuple[str, ...]:
        """A word that may become several, or none. Raises DockerfileError."""
        try:
            return self.lexer.split(text, state.environment)
        except WordError as error:
            raise error_at(instruction.node, str(error), text) from None

    def _report_missing(self, state: StageState, instruction: Instruction, names: frozenset[str]) -> None:
        missing = sorted(names - state.build_args.keys() - NOT_ENVIRONMENT)
        report_undefined(self.linter, instruction.node, missing, state.environment)

    def charge_variables(self, lines: tuple[int, int], count: int) -> None:
        """Notes that `count` variables were written down once more. Raises DockerfileError."""
        self._variables += count
        if self._variables > _MOST_VARIABLES:
            raise DockerfileError(
                f"RUN instructions and stages have more than {_MOST_VARIABLES:,} variables in all: build "
                "the image in several Dockerfiles",
                lines[0],
                1,
                end_line=lines[1],
            )

    def _charge_text(self, lines: tuple[int, int], length: int) -> None:
        self._characters += length
        if self._characters > _MOST_CHARACTERS:
            raise DockerfileError(
                f"variables and the history have more than {_MOST_CHARACTERS >> 20} Mi characters in all: "
                "shorten the values of ARG and ENV",
                lines[0],
                1,
                end_line=lines[1],
            )

    def step_name(
        self, state: StageState, text: str, variables: Mapping[str, str], command: Command | None = None
    ) -> str:
        """`[build 2/5] RUN make`: the next step of the stage."""
        state.step += 1
        return self.same_step_name(state, text, variables, command)

    def same_step_name(
        self, state: StageState, text: str, variables: Mapping[str, str], command: Command | None = None
    ) -> str:
        """A further name for the same step."""
        if state.steps == 0:
            return text
        parts: list[str] = []
        if self.shows_platform and state.platform is not None:
            parts.append(f"{state.platform}{cross_suffix(state.platform, variables)}")
        if state.label:
            parts.append(state.label)
        width = len(str(state.steps))
        parts.append(f"{state.step:{width}}/{state.steps}")
        trigger = "ONBUILD " if command is not None and command.is_trigger else ""
        return f"[{' '.join(parts)}] {trigger}{text}"

    def shown(self, text: str, variables: Mapping[str, str], lexer: WordLexer | None = None) -> str:
        """The text of an instruction with its variables, as far as that is possible."""
        try:
            return (lexer or self.lexer).expand(text, variables).text
        except WordError:
            return text

    def commit(
        self, state: StageState, lines: tuple[int, int], text: str, vertex: Vertex | None = None
    ) -> None:
        """Writes the history: `vertex` made a layer, if one is given. Raises DockerfileError when all of
        them are too long."""
        self._charge_text(lines, len(text))
        entry = history_entry(text, has_layer=vertex is not None, epoch=self.image_epoch(state))
        state.draft.history.add(entry, vertex)

    def image_epoch(self, state: StageState) -> int | None:
        """What times in the image's config become, in seconds; None: the time of the build."""
        if self.epoch is not None:
            return self.epoch
        return self.layer_epoch(state)

    def layer_epoch(self, state: StageState) -> int | None:
        """What the times of files become, in seconds; None: they stay."""
        if not self.options.rewrite_timestamps:
            return None
        return self.epoch if self.epoch is not None else state.epoch or 0
