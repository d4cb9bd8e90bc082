"""Own how one image went, or how far it came; it makes, tests and tells nothing."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import TypeAlias

from builder import smoke
from builder.api import ImageDetails
from builder.errors import BuildImageError
from builder.gates import Figures
from builder.history import Layer
from builder.plan import ImagePlan
from builder.proof import Accuracy
from builder.record import Phase, Step
from builder.registry import Published


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageResult:
    """How one image went, or how far it came; `references` are the names it really got.

    `pushed` are those of them that a registry has now, `accuracy` is what was measured of optimised graphs.
    """

    plan: ImagePlan
    references: tuple[str, ...] = ()
    details: ImageDetails | None = None
    layers: tuple[Layer, ...] = ()
    phases: tuple[Phase, ...] = ()
    steps: tuple[Step, ...] = ()
    checks: tuple[smoke.Check, ...] = ()
    pushed: tuple[Published, ...] = ()
    figures: Figures = field(default_factory=dict)
    accuracy: Accuracy = field(default_factory=dict)
    build_s: float = 0.0
    duration_s: float = 0.0
    error: BuildImageError | None = None
    is_finished: bool = True

    @property
    def image_id(self) -> str:
        """The id of the built image, empty before it is built."""
        return self.details.id if self.details else ""


Journal: TypeAlias = MutableMapping[str, ImageResult]  # of a run that goes on, or was interrupted, by the image's name
