"""Own the golden answers: what each model said when its image was built, and whether it says so still; it bakes none.

They are made by the same runtime from the same files, one text at a time and so without padding. A model that
answers otherwise later was damaged, or runs on a processor or a library that computes differently.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime import accuracy, inference
from runtime.bundle import Model, read_bundle
from runtime.classifier import Classifier
from runtime.embedder import Embedder
from runtime.errors import InferenceError, ModelError
from runtime.pooling import unit
from runtime.reranker import Reranker
from runtime.settings import Settings
from runtime.threads import usable_threads
from runtime.tokenizer import Entry

TEXTS = (
    "cat",
    "The cat sits on the warm windowsill.",
    "Wie setze ich mein Passwort zurück, wenn ich keinen Zugriff mehr auf mein Postfach habe?",
    "昨日、中央銀行は政策金利を引き上げた。",
    "for (let i = 0; i < rows.length; i += 1) { total += rows[i].price * rows[i].count; }",
    "Party at 8 🎉🎉: bring 2 kg of ice, 3½ litres of juice & yourself! https://example.com/?a=1&b=2",
)
QUERY = "How do I reset my password?"

LEAST_COSINE = 0.999
ROW_TOLERANCE = 0.02  # of a logit, and as much again of its size
_DECIMALS = 6

Loaded = Embedder | Reranker | Classifier


# How far an optimised model may be from its original's answers: as far as it was in the build, and half as much again.
_SLACK = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearness:
    """How near a model's answers come to those that were baked: `golden_cosine`, or `golden_difference` of logits."""

    name: str
    value: float
    detail: str
    is_near: bool


class Answers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one model said: a row a text, unit vectors of an embedder, else logits.

    They are the original's of a model that was optimised; `nearness` is how near its derived graph then came.
    """

    revision: str
    graph: str
    rows: Annotated[list[list[float]], msgspec.Meta(min_length=len(TEXTS), max_length=len(TEXTS))]
    nearness: float | None = None


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every model of a bundle said, by its name."""

    version: Literal[1] = 1
    models: dict[str, Answers]


def ask(model: Loaded) -> Answers:
    """Ask a model now; raises ModelError."""
    rows = np.round(_rows(model).astype(np.float64), _DECIMALS)
    return Answers(revision=model.model.revision, graph=model.model.original_graph, rows=rows.tolist())


def run(settings: Settings, *, originals: Path | None = None) -> int:
    """Ask every model of the bundle, and print the text of the file; raises BundleError and ModelError.

    Of models that were optimised, the `originals` are asked, which lie in a folder of each one's name there.
    """
    threads = settings.intra_op_threads or usable_threads()
    models = read_bundle(settings.bundle, originals=originals).models
    sys.stdout.buffer.write(document(models, threads=threads))
    return 0


def document(models: Iterable[Model], *, threads: int) -> bytes:
    """Load and ask one model after the other, and return the text of the file; raises ModelError."""
    asked = {model.name: ask(inference.load(model, threads=threads)) for model in models}
    return msgspec.json.encode(Golden(models=asked)) + b"\n"


def expected(file: Path, models: Iterable[Model], *, reports: Mapping[str, accuracy.ModelReport]) -> dict[str, Answers]:
    """Return what is baked in `file` for each of `models`, and how near derived graphs came to that by `reports`.

    Raises BundleError.
    """
    answers, found = read(file), {}
    for model in models:
        if model.name in answers:
            graph = accuracy.of_graph(reports.get(model.name), model)
            found[model.name] = msgspec.structs.replace(answers[model.name], nearness=graph.golden if graph else None)
    return found


def read(file: Path) -> Mapping[str, Answers]:
    """Read the answers of every model, none where nothing was baked, as outside of an image; raises BundleError."""
    golden = accuracy.read_baked(file, Golden)
    return golden.models if golden else {}


def compare(model: Loaded, answers: Answers) -> Nearness:
    """Ask a model again and return how near it came.

    Raises ModelError where it answers otherwise.
    """
    found = nearness(model, answers)
    if not found.is_near:
        cause = "its files were damaged, or this processor or ONNX Runtime computes differently"
        raise ModelError(f"model `{model.model.name}` does not give its golden answer: {found.detail}; {cause}")
    return found


def nearness(model: Loaded, answers: Answers) -> Nearness:
    """Ask a model again and measure how near it came; raises ModelError for answers of another model."""
    if (answers.revision, answers.graph) != (model.model.revision, model.model.original_graph):
        was = f"`{answers.graph}` at `{answers.revision}`"
        raise ModelError(f"model `{model.model.name}`: its golden answers are of {was}, another model")
    rows, golden = _rows(model), np.array(answers.rows, dtype=np.float32)
    if rows.shape != golden.shape:
        shapes = f"`{list(rows.shape)}`, and its golden answers are `{list(golden.shape)}`"
        raise ModelError(f"model `{model.model.name}`: its answers are {shapes}")
    measure = _cosines if isinstance(model, Embedder) else _differences
    return measure(rows, golden, answers.nearness)


def _rows(model: Loaded) -> NDArray[np.float32]:
    try:
        rows = inference.run(model, entries(model), max_batch_tokens=1)
    except InferenceError as error:
        raise ModelError(str(error)) from error
    return unit(rows) if isinstance(model, Embedder) else rows


def entries(model: Loaded) -> list[Entry]:
    """Make an entry a text, or a pair where a model scores pairs."""
    if isinstance(model, Embedder):
        return model.entries(TEXTS)
    classifier = model.classifier if isinstance(model, Reranker) else model
    reads_pairs = isinstance(model, Reranker) or model.model.template is not None
    return classifier.entries([(QUERY, text) for text in TEXTS] if reads_pairs else TEXTS)


def _cosines(rows: NDArray[np.float32], golden: NDArray[np.float32], before: float | None) -> Nearness:
    cosines = 1 - ((rows - golden) ** 2).sum(axis=1) / 2  # of unit vectors; and 1 where both are zero
    worst = int(cosines.argmin())
    least = LEAST_COSINE if before is None else LEAST_COSINE - _SLACK * (1 - before)
    is_near = bool(cosines[worst] >= least)  # a NaN is not
    detail = (
        f"least cosine {cosines[worst]:.6f} over {len(TEXTS)} texts"
        if is_near
        else f"text {worst} has cosine {cosines[worst]:.6f} to it, less than {least:.6g}"
    )
    return Nearness(name="golden_cosine", value=float(cosines[worst]), detail=detail, is_near=is_near)


def _differences(rows: NDArray[np.float32], golden: NDArray[np.float32], before: float | None) -> Nearness:
    differences = np.abs(rows - golden)
    excess = (differences - ROW_TOLERANCE * (1 + np.abs(golden)) - _SLACK * (before or 0.0)).max(axis=1)
    worst, widest = int(excess.argmax()), float(differences.max())
    is_near = bool(excess[worst] <= 0)
    detail = (
        f"widest difference of logits {widest:.6f} over {len(TEXTS)} pairs"
        if is_near
        else f"pair {worst} is {differences[worst].max():.4f} from it"
    )
    return Nearness(name="golden_difference", value=widest, detail=detail, is_near=is_near)
