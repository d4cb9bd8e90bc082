"""Own the checks that a model works as its bundle says, run in this process; they know no model by name."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from runtime import accuracy, files, golden
from runtime.bundle import Model, read_bundle
from runtime.classifier import Classifier
from runtime.embedder import Embedder
from runtime.errors import InferenceError, ModelError
from runtime.golden import Answers
from runtime.inference import classify, embed, load, rerank
from runtime.pooling import unit
from runtime.reranker import Reranker
from runtime.schemas import encode_readable
from runtime.settings import Settings
from runtime.speed import tokens_per_second
from runtime.threads import usable_threads

# the pair shares words, so that a model that only counts words passes too
TEXT = "The cat sits on the warm windowsill."
PARAPHRASE = "A cat is sitting on a sunny windowsill."
UNRELATED = "Interest rates rose by a quarter point on Tuesday."
QUERY = "Where does the cat sit on the windowsill?"
_BATCH = "batch_equals_singles"
_COMPANY = ("Cat.", TEXT, UNRELATED, " ".join([TEXT, PARAPHRASE, UNRELATED]))

_NORM_TOLERANCE = 1e-4
_LEAST_COSINE = 0.9999
_LOGIT_TOLERANCE = 1e-3

Outcome = tuple[bool, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was checked."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReport:
    """Every check of one model."""

    name: str
    task: str
    passed: bool
    checks: tuple[Check, ...]
    figures: dict[str, float]  # `golden_cosine` or `golden_difference`, and `tokens_per_second` where it was asked for
    timings: dict[str, float]  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Every model of the bundle."""

    passed: bool
    models: tuple[ModelReport, ...]


def run(settings: Settings, *, with_files: bool = False, with_speed: bool = False) -> int:
    """Check every model, its files' digests and speed where asked; print a report as JSON and return 0 if all is well.

    Raises BundleError.
    """
    threads = settings.intra_op_threads or usable_threads()
    served = read_bundle(settings.bundle).models
    answers = golden.expected(settings.golden, served, reports=accuracy.read(settings.accuracy))
    models = tuple(
        check_model(
            model,
            threads=threads,
            answers=answers.get(model.name),
            with_files=with_files,
            max_batch_tokens=settings.max_batch_tokens if with_speed else None,
        )
        for model in served
    )
    report = Report(passed=all(model.passed for model in models), models=models)
    sys.stdout.write(encode_readable(report))
    return 0 if report.passed else 1


def check_model(
    model: Model,
    *,
    threads: int,
    answers: Answers | None = None,
    with_files: bool = False,
    max_batch_tokens: int | None = None,
) -> ModelReport:
    """Load a model and check it; after a failure to load there is nothing more to check.

    With `max_batch_tokens` its speed is measured in batches of so many.
    """
    figures: dict[str, float] = {}
    checks: tuple[Check, ...] = (_check("files", partial(_files, model)),) if with_files else ()
    started = time.monotonic()
    try:
        loaded = load(model, threads=threads)
    except ModelError as error:
        checks += (Check(name="load", passed=False, detail=str(error)),)
        loaded_at = time.monotonic()
    else:
        loaded_at = time.monotonic()
        measures = _measures(loaded)
        if model.batching and model.quantizes_dynamically:  # the manifest wants it so, and they differ
            del measures[_BATCH]
        if answers is not None:
            measures["golden"] = partial(_golden, loaded, answers, figures)
        if max_batch_tokens is not None:
            measures["speed"] = partial(_speed, loaded, max_batch_tokens, figures)
        checks += tuple(_check(name, measure) for name, measure in measures.items())
    timings = {"load": loaded_at - started, "checks": time.monotonic() - loaded_at}
    return ModelReport(
        name=model.name,
        task=model.task,
        passed=all(check.passed for check in checks),
        checks=checks,
        figures=figures,
        timings={name: round(seconds, 4) for name, seconds in timings.items()},
    )


def _measures(loaded: Embedder | Reranker | Classifier) -> dict[str, Callable[[], Outcome]]:
    if isinstance(loaded, Embedder):
        return embedder_measures(loaded)
    return reranker_measures(loaded) if isinstance(loaded, Reranker) else classifier_measures(loaded)


def embedder_measures(embedder: Embedder) -> dict[str, Callable[[], Outcome]]:
    """Name what is checked of an embedding model."""
    native, *cuts = embedder.model.dimensions
    measures: dict[str, Callable[[], Outcome]] = {"dimension": partial(_width, embedder, native)}
    if embedder.model.normalize:
        measures["unit_norm"] = partial(_unit_norm, embedder, native)
    measures["paraphrase_beats_unrelated"] = partial(_paraphrase, embedder)
    measures.update({f"matryoshka_{cut}": partial(_matryoshka, embedder, cut) for cut in cuts})
    measures[_BATCH] = partial(_embedder_batch, embedder)
    return measures


def reranker_measures(reranker: Reranker) -> dict[str, Callable[[], Outcome]]:
    """Name what is checked of a reranker."""
    return {
        "relevant_beats_unrelated": partial(_orders, reranker),
        _BATCH: partial(_reranker_batch, reranker),
    }


def classifier_measures(classifier: Classifier) -> dict[str, Callable[[], Outcome]]:
    """Name what is checked of a classifier: which label is right nobody knows."""
    return {
        "different_texts_differ": partial(_differs, classifier),
        _BATCH: partial(_classifier_batch, classifier),
    }


def _check(name: str, measure: Callable[[], Outcome]) -> Check:
    try:
        passed, detail = measure()
    except (InferenceError, ModelError) as error:
        passed, detail = False, str(error)
    return Check(name=name, passed=passed, detail=detail)


def _files(model: Model) -> Outcome:
    found = list(files.problems(model))
    return not found, "; ".join(found) or f"{len(model.files)} as locked"


def _golden(loaded: Embedder | Reranker | Classifier, answers: Answers, figures: dict[str, float]) -> Outcome:
    nearness = golden.compare(loaded, answers)
    figures[nearness.name] = nearness.value
    return True, nearness.detail


def _speed(loaded: Embedder | Reranker | Classifier, max_batch_tokens: int, figures: dict[str, float]) -> Outcome:
    figures["tokens_per_second"] = round(tokens_per_second(loaded, max_batch_tokens=max_batch_tokens), 1)
    return True, f"{figures['tokens_per_second']:,.0f} tokens a second"


def _width(embedder: Embedder, dimensions: int) -> Outcome:
    width = embed(embedder, [TEXT], dimensions=dimensions).vectors.shape[1]
    return width == dimensions, f"{width} wide"


def _unit_norm(embedder: Embedder, dimensions: int) -> Outcome:
    (vector,) = embed(embedder, [TEXT], dimensions=dimensions).vectors
    norm = float(vector @ vector) ** 0.5
    return abs(norm - 1) <= _NORM_TOLERANCE, f"norm {norm:.6f}"


def _matryoshka(embedder: Embedder, dimensions: int) -> Outcome:
    outcomes = [_width(embedder, dimensions)]
    if embedder.model.normalize:
        outcomes.append(_unit_norm(embedder, dimensions))
    return all(passed for passed, _ in outcomes), ", ".join(detail for _, detail in outcomes)


def _paraphrase(embedder: Embedder) -> Outcome:
    text, paraphrase, unrelated = unit(embed(embedder, [TEXT, PARAPHRASE, UNRELATED]).vectors)
    near, far = float(text @ paraphrase), float(text @ unrelated)
    return near > far, f"cosine {near:.4f} against {far:.4f}"


def _embedder_batch(embedder: Embedder) -> Outcome:
    together = unit(embed(embedder, _COMPANY).vectors)
    alone = [unit(embed(embedder, [text]).vectors)[0] for text in _COMPANY]
    least = min(float(row @ single) for row, single in zip(together, alone, strict=True))
    return least > _LEAST_COSINE, f"least cosine {least:.6f}"


def _orders(reranker: Reranker) -> Outcome:
    ranking = rerank(reranker, QUERY, [UNRELATED, TEXT])
    best, worst = ranking.scores
    return ranking.positions == [1, 0] and best > worst, f"scores {best:.4f} and {worst:.4f}"


def _reranker_batch(reranker: Reranker) -> Outcome:
    ranking = rerank(reranker, QUERY, _COMPANY, raw_scores=True)
    together = dict(zip(ranking.positions, ranking.scores, strict=True))
    alone = [rerank(reranker, QUERY, [text], raw_scores=True).scores[0] for text in _COMPANY]
    widest = max(abs(together[position] - score) for position, score in enumerate(alone))
    return widest <= _LOGIT_TOLERANCE, f"widest difference of logits {widest:.6f}"


def _differs(classifier: Classifier) -> Outcome:
    text, unrelated = classify(classifier, [TEXT, UNRELATED], raw_scores=True).scores
    widest = float(abs(text - unrelated).max())
    return widest > 0, f"widest difference of logits {widest:.6f}"


def _classifier_batch(classifier: Classifier) -> Outcome:
    together = classify(classifier, _COMPANY, raw_scores=True).scores
    alone = [classify(classifier, [text], raw_scores=True).scores[0] for text in _COMPANY]
    widest = max(float(abs(row - single).max()) for row, single in zip(together, alone, strict=True))
    return widest <= _LOGIT_TOLERANCE, f"widest difference of logits {widest:.6f}"
