"""How a failed build, and the warnings of one, are told: the step's last output, the Dockerfile's lines with
marks and a caret, and one sentence."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from corten.client.jsontext import Json

_RULE = "-" * 20
_LONGEST = 500


def show(failure: Json, stream: TextIO, *, with_log: bool = True) -> None:
    """Everything but the sentence itself, which the command ends with. `with_log`: the step's output was not
    shown before."""
    lines = []
    if failure.get("step"):
        lines += ["------", f" > {failure['step']}:"]
        if with_log:
            lines += [_clean(line) for line in failure.get("log") or ()]
        lines.append("------")
    source = failure.get("source") or ()
    if source:
        marked = next((line["number"] for line in source if line.get("marked")), 0)
        lines += [f"{failure.get('file') or 'Dockerfile'}:{marked}", _RULE, *excerpt(failure), _RULE]
    if lines:
        stream.write("\n".join(lines) + "\n")
        stream.flush()


def excerpt(failure: Json) -> list[str]:
    """The lines of the Dockerfile, `>>>` before those that are to blame, `^` below the word."""
    lines = []
    column, width = failure.get("column") or 0, failure.get("width") or 1
    caret_line = failure.get("caret_line") or 0
    pointed = False
    for line in failure["source"]:
        text = _clean(line["text"])
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST - 1]}…"
        mark = ">>>" if line.get("marked") else "   "
        lines.append(f"{line['number']:4} | {mark} {text}".rstrip())
        here = line["number"] == caret_line if caret_line else line.get("marked")
        if here and 0 < column <= len(text) and not pointed:
            pointed = True
            # A tab in the line stays one in front of the caret, so that both end in the same column.
            lead = "".join("\t" if letter == "\t" else " " for letter in text[: column - 1])
            lines.append(f"     |     {lead}{'^' * max(1, min(width, len(text) - column + 1))}")
    return lines


def _clean(text: str) -> str:
    """Without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def warn(warnings: list[Json], stream: TextIO) -> None:
    """The line for each warning, at the end of a build."""
    if not warnings:
        return
    count = len(warnings)
    stream.write(f"\n {count} warning{'s' * (count != 1)} found (use --check to see the lines):\n")
    for warning in warnings:
        first = (warning.get("lines") or (0, 0))[0]
        where = f" (line {first})" if first else ""
        stream.write(f" - {warning['rule']}: {_clean(warning['message'])}{where}\n")
    stream.flush()
