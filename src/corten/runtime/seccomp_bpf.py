"""Classic BPF for system call filters: `struct sock_filter` from rules that are sorted out already.

The kernel loads `struct seccomp_data { int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]; }` and
wants one of SECCOMP_RET_* back. For each architecture the numbers are cut into ranges with one outcome each,
and a balanced tree of comparisons leads to them: some eight steps for any call.
"""

from __future__ import annotations

import struct

from corten.errors import InvalidArgument
from corten.oci.struct import Struct

# Opcodes (linux/bpf_common.h): load a word, AND with k, jumps, return.
_LD, _AND, _JA, _JEQ, _JGT, _JGE, _RET = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
_NUMBER, _ARCH, _ARGS = 0, 4, 16
_FAR = 255  # conditional jumps have 8 bits
BPF_MAXINSNS = 4096
RET_KILL_PROCESS, RET_KILL_THREAD, RET_TRAP, RET_ERRNO = 0x80000000, 0, 0x00030000, 0x00050000
RET_USER_NOTIF, RET_TRACE, RET_LOG, RET_ALLOW = 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000

Instruction = tuple[int, int, int, int]  # code, jt, jf, k


class Comparison(Struct, frozen=True):
    """Argument `index`, by `op` ("EQ", "NE", "LT", "LE", "GT", "GE"), with `value`; `mask` is ANDed first."""

    index: int
    op: str
    value: int
    mask: int = 0xFFFFFFFFFFFFFFFF


class Conditional(Struct, frozen=True):
    """`action` (a SECCOMP_RET_* value) when all comparisons hold."""

    comparisons: tuple[Comparison, ...]
    action: int


class Outcome(Struct, frozen=True):
    """The first conditional that holds, else `action`."""

    action: int
    conditionals: tuple[Conditional, ...] = ()


class Table(Struct, frozen=True):
    """One architecture: `ranges` are (first number, outcome), sorted, from 0 to the next one's first."""

    arch: int
    ranges: tuple[tuple[int, Outcome], ...]


def ranges(
    outcomes: dict[int, Outcome], default: Outcome, beyond: dict[int, Outcome]
) -> tuple[tuple[int, Outcome], ...]:
    """Cut all numbers: `outcomes` by number, `default` between them, `beyond` from a number on."""
    cuts: dict[int, Outcome] = {0: default}
    for number in sorted(outcomes):
        cuts[number] = outcomes[number]
        if number + 1 not in outcomes:
            cuts[number + 1] = default
    for number, outcome in beyond.items():
        cuts[number] = outcome
    merged: list[tuple[int, Outcome]] = []
    for number in sorted(cuts):
        if not merged or merged[-1][1] != cuts[number]:
            merged.append((number, cuts[number]))
    return tuple(merged)


def assemble(tables: tuple[Table, ...]) -> bytes:
    """The whole program. A call of an architecture without a table kills the process."""
    code: list[Instruction] = [(_LD, 0, 0, _ARCH)]
    for table in tables:
        body = [(_LD, 0, 0, _NUMBER), *_table(table.ranges)]
        if len(body) <= _FAR:
            code += [(_JEQ, 0, len(body), table.arch), *body]
        else:
            code += [(_JEQ, 1, 0, table.arch), (_JA, 0, 0, len(body)), *body]
    code.append((_RET, 0, 0, RET_KILL_PROCESS))
    if len(code) > BPF_MAXINSNS:
        raise InvalidArgument(
            f"the seccomp profile is too big: {len(code)} instructions, the kernel takes {BPF_MAXINSNS}"
        )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _table(cuts: tuple[tuple[int, Outcome], ...]) -> list[Instruction]:
    """The search; its plain returns stand at its end once each, where that is near enough to jump to.

    The kernel's time to take a filter grows with its length, and every container pays it.
    """
    actions = {outcome.action: None for _first, outcome in cuts if not outcome.conditionals}
    returns: list[Instruction] = [(_RET, 0, 0, action) for action in actions]
    search = _search(cuts)
    if len(cuts) == 1 or len(search) + len(returns) > _FAR:
        return _search_alone(cuts)
    code: list[Instruction] = []
    at = {action: len(search) + number for number, action in enumerate(actions)}
    for position, step in enumerate(search):
        if isinstance(step, _Branch):
            above, below = (
                target if isinstance(target, int) else at[target.action] - position - 1
                for target in (step.above, step.below)
            )
            code.append((_JGE, above, below, step.first))
        else:
            code.append(step)
    return [*code, *returns]


class _Branch:
    """Skip `above` instructions when the number is not below `first`, else `below`; or go to that return."""

    __slots__ = ("above", "below", "first")

    def __init__(self, first: int, above: int | Outcome, below: int | Outcome) -> None:
        self.first, self.above, self.below = first, above, below


def _search(cuts: tuple[tuple[int, Outcome], ...]) -> list[Instruction | _Branch]:
    """A balanced tree whose branches lead to returns that stand elsewhere."""
    if len(cuts) == 1:
        return [*_outcome(cuts[0][1])]
    middle = len(cuts) // 2
    first, below, above = cuts[middle][0], cuts[:middle], cuts[middle:]
    below_code = [] if _is_plain(below) else _search(below)
    above_code = [] if _is_plain(above) else _search(above)
    branch = _Branch(
        first,
        above[0][1] if _is_plain(above) else len(below_code),
        below[0][1] if _is_plain(below) else 0,
    )
    return [branch, *below_code, *above_code]


def _is_plain(cuts: tuple[tuple[int, Outcome], ...]) -> bool:
    return len(cuts) == 1 and not cuts[0][1].conditionals


def _search_alone(cuts: tuple[tuple[int, Outcome], ...]) -> list[Instruction]:
    """The same with a return at each end, of any size."""
    if len(cuts) == 1:
        return _outcome(cuts[0][1])
    middle = len(cuts) // 2
    below, above = _search_alone(cuts[:middle]), _search_alone(cuts[middle:])
    if len(below) <= _FAR:
        return [(_JGE, len(below), 0, cuts[middle][0]), *below, *above]
    return [(_JGE, 0, 1, cuts[middle][0]), (_JA, 0, 0, len(below)), *below, *above]


def _outcome(outcome: Outcome) -> list[Instruction]:
    code: list[Instruction] = []
    for conditional in outcome.conditionals:
        code += _conditional(conditional)
    return [*code, (_RET, 0, 0, outcome.action)]


def _conditional(conditional: Conditional) -> list[Instruction]:
    code: list[Instruction] = [(_RET, 0, 0, conditional.action)]
    for comparison in reversed(conditional.comparisons):
        code = _compare(comparison, len(code)) + code
    return code


def _compare(comparison: Comparison, skip: int) -> list[Instruction]:
    """Fall through when it holds, else jump over `skip` instructions more; 64 bits in two loads."""
    low_at = _ARGS + 8 * comparison.index
    value, mask = comparison.value, comparison.mask
    high, low = value >> 32, value & 0xFFFFFFFF
    load_low = _load(low_at, mask & 0xFFFFFFFF)
    load_high = _load(low_at + 4, mask >> 32)
    if comparison.op in ("EQ", "NE"):
        if comparison.op == "EQ":
            rest = [*load_low, (_JEQ, 0, skip, low)]
            return [*load_high, (_JEQ, 0, len(rest) + skip, high), *rest]
        rest = [*load_low, (_JEQ, skip, 0, low)]
        return [*load_high, (_JEQ, 0, len(rest), high), *rest]
    # Greater: high greater, or equal and low greater. Less is the contrary of greater or equal, and so on.
    last = _JGE if comparison.op in ("GE", "LT") else _JGT
    holds = comparison.op in ("GE", "GT")
    rest = [*load_low, (last, 0 if holds else skip, skip if holds else 0, low)]
    middle: Instruction = (_JEQ, 0, len(rest) + (skip if holds else 0), high)
    first: Instruction = (_JGT, 1 + len(rest) + (0 if holds else skip), 0, high)
    return [*load_high, first, middle, *rest]


def _load(offset: int, mask: int) -> list[Instruction]:
    load: list[Instruction] = [(_LD, 0, 0, offset)]
    return load if mask == 0xFFFFFFFF else [*load, (_AND, 0, 0, mask)]
