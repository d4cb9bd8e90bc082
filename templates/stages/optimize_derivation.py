"""Own the order of the steps from a model's graph to those that are derived of it, and the note of each."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from . import optimize_accuracy as accuracy
from . import optimize_steps as steps
from .optimize_failures import GraphError, OptimizeError, SkipError
from .optimize_file import check_files
from .optimize_request import Request
from .optimize_session import Session
from .optimize_steps import Step

WISHED = ("graph", "fuse_pooling", "quantize")  # what the manifest has names for
CHOOSE_ANOTHER = "choose another `dtype`, or remove `optimize`"


@dataclass(kw_only=True, slots=True)
class Derivation:
    """A graph on its way, and what has been done to it and what not."""

    request: Request
    step: Step
    applied: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def fork(self) -> Self:
        """Return another derivation that goes on from here."""
        return type(self)(request=self.request, step=self.step, applied=dict(self.applied), skipped=dict(self.skipped))

    def attempt(self, name: str, act: Callable[[Step], Step]) -> None:
        """Take a step, or note why it can't be taken; raises OptimizeError where the manifest insists on it."""
        try:
            self.step = act(self.step)
            self.applied[name] = self.step.detail
        except SkipError as error:
            self.skipped[name] = str(error)
            graph = self.request.graph
            if name in WISHED:
                print(f"warning: `{graph}`: {name} is left out: {error}", file=sys.stderr, flush=True)
            if name in WISHED and self.request.wishes.insist:
                hint = f"remove `{name}` from `optimize`, or `insist`"
                raise OptimizeError(f"`{graph}`: {name}: {error}", hint=hint) from error


def begin(request: Request, graph: Path) -> Derivation:
    """Look whether the graph is whole and ONNX Runtime takes it as it is; raises GraphError."""
    check_files(graph, name=str(request.graph))
    try:
        outputs = Session(graph).outputs
    except SkipError as error:
        raise GraphError(f"`{request.graph}`: {error}", hint=CHOOSE_ANOTHER) from error
    if request.output not in outputs:
        raise GraphError(f"`{request.graph}`: it has no output `{request.output}`", hint=CHOOSE_ANOTHER)
    return Derivation(request=request, step=Step(graph=graph, output=request.output, detail=""))


def shape(derivation: Derivation, *, snapshot: Path, folder: Path) -> None:
    """Make the graph compute all that follows it and nothing that is not read; its numbers stay the same."""
    request = derivation.request
    if not keeps_halves(derivation):
        derivation.step = steps.simplify(derivation.step, folder)
    if request.pooling and request.wishes.fuse_pooling:
        derivation.attempt("fuse_pooling", lambda step: steps.fuse_pooling(request, step, folder, snapshot=snapshot))
    if request.answer_tokens:
        derivation.attempt("cut_head", lambda step: steps.cut(request, step, folder))
    if request.wishes.attention and not keeps_halves(derivation):
        derivation.attempt("attention", lambda step: steps.join_attention(step, folder))


def keeps_halves(derivation: Derivation) -> bool:
    """Tell whether weights of 16 bits are to stay so: ONNX Runtime saves them as 32."""
    is_float = derivation.request.wishes.quantize is None and not derivation.request.variants
    return is_float and steps.has_halves(derivation.step.graph)


def complete(derivation: Derivation, *, quantization: str | None, folder: Path) -> None:
    """Give the graph few bits, where that is asked for, and its last form."""
    request = derivation.request
    if quantization is not None:
        derivation.attempt("quantize", lambda step: steps.quantize_until_near(request, step, folder, name=quantization))
    if request.wishes.graph:
        derivation.attempt("graph", lambda step: _fused(derivation, step, folder))


def finish(derivation: Derivation, target: Path) -> list[Path]:
    """Write the graph as it is shipped, and run it; raises GraphError where it does not."""
    files = steps.finish(derivation.step, target)
    made = steps.read(Step(graph=target, output=derivation.step.output, detail=""))
    try:
        session = Session(target)
        for feed in accuracy.make_samples(derivation.request, made).feeds:
            session.run([made.output], feed)
    except SkipError as error:
        raise GraphError(f"what was derived of `{derivation.request.graph}`: {error}", hint=CHOOSE_ANOTHER) from error
    return files


def _fused(derivation: Derivation, step: Step, folder: Path) -> Step:
    if keeps_halves(derivation):
        raise SkipError("its weights have 16 bits, and would have 32 in the graph that ONNX Runtime saves")
    return steps.fuse(step, folder)
