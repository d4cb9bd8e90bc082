"""Own how near a graph of few bits comes to the one before it, and which of its products err most.

What both are asked are rows of random tokens, always the same. What real texts say decides the gate of the build.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from . import optimize_numbers as numbers
from .optimize_failures import SkipError
from .optimize_graph import Graph
from .optimize_quantize import Target, weights_of
from .optimize_request import Request
from .optimize_session import Session

SEED = 20261129
BATCHES = ((8, 12), (8, 24), (8, 48), (8, 48))  # rows, and tokens of the longest
FEWEST_WORDS = 1000  # where the graph has no table that tells how many there are
SPECIAL = 10  # the first ones, some of which mean padding

Sample = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """What a graph is fed, and the mask that tells which tokens are attended in each."""

    feeds: tuple[Sample, ...]
    masks: tuple[NDArray[np.int64], ...]


def make_samples(request: Request, graph: Graph) -> Samples:
    """Draw token ids for a graph, padded as the server pads them."""
    chance = np.random.default_rng(SEED)
    words = _words(graph, request)
    made = []
    for rows, longest in BATCHES:
        lengths = chance.integers(longest // 2, longest + 1, rows)
        lengths[0] = longest
        ids = chance.integers(SPECIAL if words > 2 * SPECIAL else 0, words, (rows, longest))
        mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
        if request.document.get("padding_side") == "left":
            mask = mask[:, ::-1]
        made.append((_feed(request, ids * mask, mask), mask))
    return Samples(feeds=tuple(feed for feed, _ in made), masks=tuple(mask for _, mask in made))


def answers(session: Session, output: str, samples: Samples) -> NDArray[np.float64]:
    """Run all samples: one row a text, or a row an attended token where the graph does not pool.

    Raises SkipError for an output that has neither.
    """
    rows = []
    for feed, mask in zip(samples.feeds, samples.masks, strict=True):
        (values,) = session.run([output], feed)
        if values.ndim == 3 and values.shape[:2] == mask.shape:
            rows.append(values[mask == 1])
        elif values.ndim == 2 and len(values) == len(mask):
            rows.append(values)
        else:
            raise SkipError(f"its output has shape {list(values.shape)} for {list(mask.shape)} tokens")
    return np.concatenate(rows).astype(np.float64)


def agreement(rows: NDArray[np.float64], exact: NDArray[np.float64], *, task: str) -> float:
    """Return the mean cosine of vectors, and of scores the correlation, which is a cosine of what sets them apart."""
    if not np.isfinite(rows).all():
        return -1.0
    if task != "embedding":
        rows, exact = (values - values.mean(axis=0) for values in (rows, exact))
        rows, exact = rows.reshape(1, -1), exact.reshape(1, -1)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(exact, axis=1)
    return float((np.einsum("ij,ij->i", rows, exact) / np.maximum(lengths, 1e-30)).mean())


def by_error(
    graph: Graph, session: Session, samples: Samples, *, targets: Sequence[Target], product: numbers.Product
) -> list[Target]:
    """Sort targets by the relative error of what each computes, the largest first."""
    errors = {}
    for target in targets:
        (values,) = session.run([target.values], samples.feeds[1])
        flat = values.reshape(-1, values.shape[-1]).astype(np.float32)
        weights = weights_of(graph, target)
        errors[target.output] = numbers.relative_error(flat, weights, product=product)
    return sorted(targets, key=lambda target: -errors[target.output])


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model with these values as outputs too."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in model.graph.output}
    for name in dict.fromkeys(names):
        if name not in known:
            watched.graph.output.append(onnx.ValueInfoProto(name=name))
    return watched


def _words(graph: Graph, request: Request) -> int:
    """Count the rows of the table that token ids look words up in."""
    name = request.fed_with("input_ids")
    names = [] if name is None else [name]
    while names:
        name = names.pop()
        for node in graph.consumers(name):
            if node.op_type == "Gather" and node.input[0] in graph.constants:
                return int(graph.constants[node.input[0]].dims[0])
            if node.op_type in {"Cast", "Reshape", "Flatten"}:
                names += node.output
    return FEWEST_WORDS


def _feed(request: Request, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Sample:
    """Feed a batch as the server does."""
    positions = np.maximum(mask.cumsum(axis=1) - 1 + request.first_position, 0) * mask
    known = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    sizes = dict(zip(("batch", "sequence"), ids.shape, strict=True))
    feed = {}
    for name, value in request.inputs.items():
        if value.feed in known:
            feed[name] = known[value.feed].astype(value.dtype)
        elif value.feed == "token_type_ids":
            feed[name] = np.zeros(ids.shape, dtype=value.dtype)
        else:
            shape = [size if isinstance(size, int) else sizes[size] for size in value.shape]
            feed[name] = np.zeros(shape, dtype=value.dtype)
    return feed
