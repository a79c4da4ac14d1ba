"""What is known of a stage while the plan is made: the mutable half of planning."""

from __future__ import annotations

from dataclasses import dataclass, field

from corten.build.graph import Vertex
from corten.build.instructions.types import Instruction, Stage
from corten.build.parser.syntax_tree import Node
from corten.build.plan.environment import Environment
from corten.build.plan.image_draft import ImageDraft
from corten.build.plan.model import NamedContext, ResolvedImage
from corten.build.plan.outline_record import OutlineRecord
from corten.oci.platform import Platform


@dataclass(eq=False, slots=True)
class Command:
    """An instruction that is to be planned, and the stages it takes files from: one for COPY --from, one
    for each mount of a RUN (an empty one where it names none). `is_trigger`: ONBUILD of the base has brought
    it."""

    instruction: Instruction
    sources: tuple[StageState, ...] = ()
    is_trigger: bool = False


@dataclass(eq=False, slots=True)
class StageState:
    """A stage of the Dockerfile, or (`stage` None) an image or context that COPY --from or a mount names.

    `base_name` is what FROM says, expanded. `label` is the stage's name in the progress (`stage-1` where it
    has none). `context` stands in the stage's place; `context_name` is what that, or the context that FROM
    names, is known by. `base` is the stage it is based on; `is_image`: FROM names an image with layers.
    `vertex` is its file system so far, None for scratch. `build_args` are the ARGs that were declared, by
    their first appearance. `dispatched`: it is ready to be copied from. `last` are the CMD, ENTRYPOINT and
    HEALTHCHECK that stand in it. `step` of `steps` was the last that got a name.
    """

    node: Node
    base_name: str
    stage: Stage | None = None
    label: str = ""
    platform: Platform | None = None
    context: NamedContext | None = None
    context_name: str = ""
    base: StageState | None = None
    image: ImageDraft | None = None
    base_image: ResolvedImage | None = None
    epoch: int | None = None
    vertex: Vertex | None = None
    commands: list[Command] = field(default_factory=list)
    dependencies: dict[StageState, Node] = field(default_factory=dict)
    environment: Environment = field(default_factory=Environment)
    directory: str = ""
    user: str = ""
    build_args: dict[str, str | None] = field(default_factory=dict)
    last: dict[str, Node] = field(default_factory=dict)
    ignore_cache: bool = False
    is_image: bool = False
    is_resolved: bool = False
    has_triggers: bool = False
    dispatched: bool = False
    workdir_set: bool = False
    step: int = 0
    steps: int = 0
    outline: OutlineRecord = field(default_factory=OutlineRecord)

    @property
    def name(self) -> str:
        """The name that FROM gives it, in lower case; empty: none."""
        return self.stage.name if self.stage is not None else ""

    @property
    def draft(self) -> ImageDraft:
        """The image; the stage has been resolved."""
        assert self.image is not None
        return self.image
