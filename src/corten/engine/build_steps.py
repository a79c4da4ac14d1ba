"""The instructions that a plan carries out, in order: what the classic builder counts."""

from __future__ import annotations

from corten.api.build import BuildPlanned, PlannedStep
from corten.build.graph import Vertex
from corten.build.instructions.parse import parse_dockerfile
from corten.build.parser.parse import parse
from corten.build.plan.model import BuildPlan


def planned_steps(data: bytes, plan: BuildPlan, *, with_text: bool) -> BuildPlanned:
    """`with_text`: with the instructions themselves, for which the Dockerfile is read once more."""
    vertices = _vertices(plan)
    if not with_text:
        return BuildPlanned([], sum(bool(vertex.name) for vertex in vertices))
    lines = {vertex.lines for vertex in vertices}
    needed = {vertex.stage for vertex in vertices} | {image.stage for image in plan.images}
    steps = []
    dockerfile = parse_dockerfile(parse(data))
    last = len(dockerfile.stages) - 1
    for number, stage in enumerate(dockerfile.stages):
        is_target = number == last and "" in {image.stage for image in plan.images}
        if not is_target and not needed & {stage.name or str(number), str(number)}:
            continue
        for instruction in (stage.start, *stage.instructions):
            layer = instruction.lines in lines
            steps.append(PlannedStep(instruction.code, instruction.lines, layer))
    arguments = [PlannedStep(argument.code, argument.lines) for argument in dockerfile.arguments]
    return BuildPlanned([*arguments, *steps], len(vertices))


def _vertices(plan: BuildPlan) -> set[Vertex]:
    found: set[Vertex] = set()
    for image in plan.images:
        if image.target is not None:
            found.update(image.target.walk())
    return found
