"""Own the steps from one graph to the next: each reads a file and writes another, or says why it can't."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from . import optimize_accuracy as accuracy
from . import optimize_file, optimize_layers, optimize_pooling
from .optimize_attention import fuse_attention
from .optimize_failures import SkipError, counted
from .optimize_graph import Graph
from .optimize_head import cut_head
from .optimize_quantize import QUANTIZATIONS, Quantization, Target, find_targets, quantize
from .optimize_request import Request
from .optimize_session import PORTABLE_FUSIONS, SIMPLER, Session, optimize

POOLED = "sentence_embedding"
PART_LEFT_OUT = 10  # of all products, each time that too much is lost
MOST_PARTS = 5  # until half of them are left out
HALVES = {TensorProto.FLOAT16, TensorProto.BFLOAT16}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What was done to a graph, and the name and file of the output after it."""

    graph: Path
    output: str
    detail: str


def read(step: Step) -> Graph:
    """Read a graph."""
    return Graph(optimize_file.read(step.graph), output=step.output)


def load(before: Step) -> Graph:
    """Read a graph to be rewritten; raises SkipError where it can't be."""
    made = read(before)
    made.check()
    return made


def has_halves(graph: Path) -> bool:
    """Tell whether most weights are numbers of 16 bits, which a graph that is saved again holds as 32."""
    model = onnx.load(graph, load_external_data=False)
    sizes = [(tensor.data_type in HALVES, int(np.prod(tensor.dims))) for tensor in model.graph.initializer]
    return sum(size for is_half, size in sizes if is_half) > sum(size for is_half, size in sizes if not is_half)


def simplify(before: Step, folder: Path) -> Step:
    """Let ONNX Runtime fold what is constant, in standard operators, so that what follows finds its places."""
    return _optimized(before, folder / "simple.onnx", level=SIMPLER)


def fuse_pooling(request: Request, before: Step, folder: Path, *, snapshot: Path) -> Step:
    """Put pooling, the layers after it and, where that is wished, the unit length into the graph."""
    mask = request.fed_with("attention_mask")
    if not request.include_prompt:
        raise SkipError("the tokens of a prompt are read and not pooled, and how many they are is not fed to the graph")
    if mask is None:
        raise SkipError("it is not fed with a mask of the tokens that are attended to")
    made = load(before)
    states = made.output
    if made.element_type(states) != TensorProto.FLOAT:
        states = made.cast(states, TensorProto.FLOAT)
    vectors = optimize_pooling.pool(made, states, mask=mask, modes=request.pooling)
    for layer in request.layers:
        vectors = optimize_layers.apply(made, layer, vectors, folder=snapshot)
    if request.wishes.fuse_normalize and request.normalize:
        vectors = optimize_pooling.unit(made, vectors)
    name = POOLED if not _is_taken(made, POOLED) else f"optimized/{POOLED}"
    made.add("Identity", vectors, output=name)
    made.answer(name, shape=["batch", "width"])
    detail = " and ".join(request.pooling) + (f" and {counted(len(request.layers), 'layer')}" if request.layers else "")
    return _written(made, folder / "pooled.onnx", detail)


def cut(request: Request, before: Step, folder: Path) -> Step:
    """Cut a causal model's head to what is read of it."""
    made = load(before)
    detail = cut_head(made, answers=request.answer_tokens, mask=request.fed_with("attention_mask"))
    return _written(made, folder / "cut.onnx", detail)


def join_attention(before: Step, folder: Path) -> Step:
    """Write attention as one operator."""
    made = load(before)
    detail = fuse_attention(made)
    return _written(made, folder / "attention.onnx", detail)


def quantize_until_near(request: Request, before: Step, folder: Path, *, name: str) -> Step:
    """Give products few bits, and of these leave out as many as the least cosine asks for.

    Raises SkipError where half of them would have to be.
    """
    made = load(before)
    quantization = QUANTIZATIONS[name]
    targets = find_targets(made, exclude=request.wishes.exclude)
    target = folder / f"{name}.onnx"
    least = request.wishes.min_mean_cosine
    if least is None:
        return _quantized(before, target, quantization, targets, left_out=())
    samples = accuracy.make_samples(request, made)
    exact = accuracy.answers(Session(before.graph), before.output, samples)
    order: list[Target] = []
    part = ceil(len(targets) / PART_LEFT_OUT)
    for parts in range(MOST_PARTS + 1):
        if parts == 1:
            order = _by_error(made, samples, targets, quantization, folder)
        left_out = [target.output for target in order[: parts * part]]
        step = _quantized(before, target, quantization, targets, left_out=left_out)
        rows = accuracy.answers(Session(step.graph), step.output, samples)
        near = accuracy.agreement(rows, exact, task=request.task)
        if near >= least:
            return step
    measure = "mean cosine" if request.task == "embedding" else "correlation"
    raise SkipError(f"with half of its products left out the {measure} is {near:.6f}, and {least} is asked for")


def fuse(before: Step, folder: Path) -> Step:
    """Let ONNX Runtime join operators, at the level that any processor can run."""
    step = _optimized(before, folder / "fused.onnx", level=PORTABLE_FUSIONS)
    counts = (len(onnx.load(file, load_external_data=False).graph.node) for file in (before.graph, step.graph))
    return replace(step, detail="{} operators became {}".format(*counts))


def finish(before: Step, target: Path) -> list[Path]:
    """Write a graph as it is shipped, and name its files."""
    return optimize_file.write(read(before).finished(), target)


def _optimized(before: Step, target: Path, *, level: str) -> Step:
    optimize(before.graph, target, level=level, has_data_file=optimize_file.needs_data_file(before.graph))
    return Step(graph=target, output=before.output, detail="")


def _quantized(
    before: Step,
    target: Path,
    quantization: Quantization,
    targets: Sequence[Target],
    *,
    left_out: Sequence[str],
) -> Step:
    made = load(before)
    details = quantize(made, quantization, targets=targets, left_out=left_out)
    return _written(made, target, ", ".join(details))


def _by_error(
    made: Graph, samples: accuracy.Samples, targets: Sequence[Target], quantization: Quantization, folder: Path
) -> list[Target]:
    watched = accuracy.with_outputs(made.finished(), [target.values for target in targets])
    file = folder / "watched.onnx"
    optimize_file.write(watched, file)
    return accuracy.by_error(made, Session(file), samples, targets=targets, product=quantization.product)


def _is_taken(made: Graph, name: str) -> bool:
    return made.producer(name) is not None or name in made.input_names()


def _written(made: Graph, target: Path, detail: str) -> Step:
    optimize_file.write(made.finished(), target)
    return Step(graph=target, output=made.output, detail=detail)
