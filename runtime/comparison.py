"""Own the comparison of derived graphs with their originals, by the server's own code; it changes no threshold.

It runs in a stage of the build. What it measures is baked, and below a threshold there is no image.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime import bundle, golden, inference, processor
from runtime.accuracy import Accuracy, GraphReport, Measure, ModelReport
from runtime.agreement import centred, cosines, kendall_tau, top_overlap
from runtime.bundle import Model, read_bundle
from runtime.classifier import Classifier
from runtime.comparison_texts import DOCUMENTS, ENDLESS, PAIR_DOCUMENTS, PAIR_QUERIES, QUERIES
from runtime.embedder import Embedder
from runtime.errors import BundleError, EmptyError, InferenceError, ModelError
from runtime.golden import Loaded
from runtime.pooling import unit
from runtime.prompting import prompt_for
from runtime.reranker import Reranker
from runtime.scoring import best
from runtime.settings import Settings
from runtime.threads import usable_threads
from runtime.tokenizer import Entry

LEAST_COSINE = 0.9999  # of a text alone with itself among others, as the selftest wants it
LOGIT_TOLERANCE = 1e-3

_ALONE = 1  # padded token: a budget that no two texts fit in
_TOGETHER = 2048
_MOST_TOKENS = 512  # of a text: what is longer is cut, as by the server
_PADDED = 8  # texts, each beside the longest one
_SAMPLE_QUERIES = 50
_PAIR_SAMPLES = 25
_DECIMALS = 6

Arrays = NDArray[np.float32]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest's."""

    mean_cosine: float
    top10_overlap: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """What both graphs are asked: the fixed texts, and the user's samples with them."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What one graph said.

    `rows` are compared one by one: vectors, logits by label, or a query's scores of all documents. `scores` are
    [queries, documents], where something is ranked. `distances` are how far a text's answer is from that of the text
    alone, by what it shares its run with: none where each runs alone.
    """

    rows: Arrays
    scores: Arrays | None
    distances: dict[str, float]


def run(settings: Settings, *, originals: Path, wanted: Path) -> int:
    """Compare every derived graph, print the report, and a table to stderr; return 1 where one is not near enough.

    Both folders have one of each model's name: in `originals` its files, in `wanted` thresholds and samples.

    Raises BundleError and ModelError.
    """
    threads = settings.intra_op_threads or usable_threads()
    served = {model.name: model for model in read_bundle(settings.bundle).models if model.overlay}
    before = [model for model in read_bundle(settings.bundle, originals=originals).models if model.name in served]
    reports = {}
    for model in before:
        derived = bundle.derived(msgspec.structs.replace(model, path=served[model.name].path))
        reports[model.name] = compare(model, derived, wanted=wanted / model.name, threads=threads)
    sys.stderr.write("".join(_table(name, report) for name, report in sorted(reports.items(), key=_failed_last)))
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(Accuracy(models=reports)), indent=1) + b"\n")
    return 0 if all(report.passed for report in reports.values()) else 1


def compare(original: Model, derived: Sequence[Model], *, wanted: Path, threads: int) -> ModelReport:
    """Compare each of the `derived` graphs of a model with its `original`, one loaded at a time."""
    thresholds, samples = _wanted(wanted)
    texts = _texts(original, samples)
    if original.overlay is None:
        raise BundleError(f"model `{original.name}` was not optimised")
    facts = bundle.read_derived(original.overlay)
    theirs, golden_answers = _asked(original, texts, threads=threads)
    graphs = []
    for model in _each_graph(derived) if facts.graph else ():
        loaded = inference.load(_shortened(model), threads=threads)
        graphs.append(_graph_report(loaded, theirs, texts, thresholds, golden_answers))
    return ModelReport(
        original=original.graph,
        texts=len({*texts.queries, *texts.documents}),
        samples=len(samples),
        applied=facts.applied,
        skipped=facts.skipped,
        versions=facts.versions,
        graphs=tuple(graphs),
    )


def _each_graph(derived: Sequence[Model]) -> Iterable[Model]:
    """Return a model for each graph: of one that several kinds of processors take, as this one would if it can."""
    found: dict[str, Model] = {}
    for model in derived:
        if model.graph not in found or _fits(model):
            found[model.graph] = model
    return found.values()


def _fits(model: Model) -> bool:
    return model.derivation is not None and set(model.derivation.requires) <= processor.flags()


def _wanted(folder: Path) -> tuple[Thresholds, tuple[str, ...]]:
    file = folder / "thresholds.json"
    try:
        thresholds = msgspec.json.decode(file.read_bytes(), type=Thresholds)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"`{file}`: {error}") from error
    samples = folder / "samples.txt"
    lines = samples.read_text(encoding="utf-8").splitlines() if samples.exists() else []
    return thresholds, tuple(line.strip() for line in lines if line.strip())


def _texts(model: Model, samples: Sequence[str]) -> Texts:
    if model.task == "reranker":
        more = tuple(samples[:_PAIR_SAMPLES])
        return Texts(queries=(*PAIR_QUERIES, *more[:2]), documents=(*PAIR_DOCUMENTS, *more, ENDLESS))
    return Texts(queries=(*QUERIES, *samples[:_SAMPLE_QUERIES]), documents=(*DOCUMENTS, *samples, ENDLESS))


def _shortened(model: Model) -> Model:
    """Return a model that cuts texts early: attention over thousands of tokens takes long, and shows nothing more."""
    length = model.max_length if model.windows else min(model.max_length, _MOST_TOKENS)
    return msgspec.structs.replace(model, max_length=length)


def _asked(model: Model, texts: Texts, *, threads: int) -> tuple[Answers, golden.Answers]:
    """Load a model, ask it, and let go of it."""
    loaded = inference.load(_shortened(model), threads=threads)
    return _answers(loaded, texts), golden.ask(loaded)


def _graph_report(
    loaded: Loaded, theirs: Answers, texts: Texts, thresholds: Thresholds, golden_answers: golden.Answers
) -> GraphReport:
    model = loaded.model
    requires = model.derivation.requires if model.derivation else ()
    measures = tuple(_measures(loaded, _answers(loaded, texts), theirs, thresholds))
    return GraphReport(
        graph=Path(model.graph).name,
        requires=requires,
        is_judged=_fits(model),
        measures=measures,
        golden=round(golden.nearness(loaded, golden_answers).value, _DECIMALS),
    )


def _answers(loaded: Loaded, texts: Texts) -> Answers:
    try:
        if isinstance(loaded, Embedder):
            return _embedded(loaded, texts)
        return _reranked(loaded, texts) if isinstance(loaded, Reranker) else _classified(loaded, texts)
    except (InferenceError, EmptyError) as error:
        raise ModelError(f"model `{loaded.model.name}`: {error}") from error


def _embedded(embedder: Embedder, texts: Texts) -> Answers:
    purposes = [("search_query", texts.queries), ("search_document", texts.documents)]
    queries, documents = (
        embedder.entries(asked, prompt_name=prompt_for(embedder.model, purpose) or None)  # type: ignore[arg-type]
        for purpose, asked in purposes
    )
    entries = [*queries, *documents]
    rows = unit(inference.run(embedder, entries, max_batch_tokens=_ALONE))
    vectors, others = rows[: len(queries)], rows[len(queries) :]
    return Answers(
        rows=rows,
        scores=vectors @ others.T,
        distances=_distances(embedder, entries, rows, lambda mine, alone: _farthest(unit(mine), alone)),
    )


def _farthest(rows: Arrays, alone: Arrays) -> float:
    return float(cosines(rows, alone).min())


def _widest(rows: Arrays, alone: Arrays) -> float:
    return float(np.abs(rows - alone).max())


def _reranked(reranker: Reranker, texts: Texts) -> Answers:
    asked = [reranker.entries(query, texts.documents) for query in texts.queries]
    alone = [inference.run(reranker, entries, max_batch_tokens=_ALONE) for entries in asked]
    scores = np.stack(
        [
            best(rows[:, 0], owners=[entry.document for entry in entries])
            for rows, entries in zip(alone, asked, strict=True)
        ]
    )
    return Answers(rows=centred(scores), scores=scores, distances=_distances(reranker, asked[0], alone[0], _widest))


def _classified(classifier: Classifier, texts: Texts) -> Answers:
    reads_pairs = classifier.model.template is not None
    inputs = [(QUERIES[0], text) for text in texts.documents] if reads_pairs else list(texts.documents)
    entries = classifier.entries(inputs)
    rows = inference.run(classifier, entries, max_batch_tokens=_ALONE)
    is_single = rows.shape[1] == 1
    distances = _distances(classifier, entries, rows, _widest)
    return Answers(rows=centred(rows.T) if is_single else rows, scores=None, distances=distances)


def _distances(
    loaded: Loaded, entries: list[Entry], alone: Arrays, measure: Callable[[Arrays, Arrays], float]
) -> dict[str, float]:
    """Ask again in batches, and the first texts beside the longest; nothing where each runs alone anyway."""
    if not loaded.model.batching:
        return {}
    together = inference.run(loaded, entries, max_batch_tokens=_TOGETHER)
    padded = np.concatenate([loaded.forward([entry, _longest(entries, entry)])[:1] for entry in entries[:_PADDED]])
    return {"batch": measure(together, alone), "padding": measure(padded, alone[:_PADDED])}


def _longest(entries: Sequence[Entry], entry: Entry) -> Entry:
    return max((other for other in entries if other.group == entry.group), key=lambda other: len(other.ids))


def _measures(loaded: Loaded, ours: Answers, theirs: Answers, thresholds: Thresholds) -> Iterator[Measure]:
    near = cosines(ours.rows, theirs.rows)
    yield Measure(name="mean_cosine", value=_rounded(near.mean()), at_least=thresholds.mean_cosine)
    yield Measure(name="least_cosine", value=_rounded(near.min()))
    if ours.scores is not None and theirs.scores is not None:
        overlap = top_overlap(ours.scores, theirs.scores)
        yield Measure(name="top10_overlap", value=_rounded(overlap), at_least=thresholds.top10_overlap)
        yield Measure(name="kendall_tau", value=_rounded(kendall_tau(ours.scores, theirs.scores)))
    if isinstance(loaded, Classifier):
        same = (ours.rows.argmax(axis=1) == theirs.rows.argmax(axis=1)).mean()
        yield Measure(name="same_label", value=_rounded(same))
    is_free = loaded.model.quantizes_dynamically  # the manifest wants texts to share a run, and so to differ
    for name, value in ours.distances.items():
        if isinstance(loaded, Embedder):
            limit = None if is_free else LEAST_COSINE
            yield Measure(name=f"{name}_cosine", value=_rounded(value), at_least=limit)
        else:
            most = None if is_free else LOGIT_TOLERANCE
            yield Measure(name=f"{name}_difference", value=_rounded(value), at_most=most)


def _rounded(value: float) -> float:
    return round(float(value), _DECIMALS)


def _failed_last(named: tuple[str, ModelReport]) -> bool:
    """Order tables so that the one that matters is the last, which a build that fails shows."""
    return not named[1].passed


def _table(name: str, report: ModelReport) -> str:
    """Write what was measured of one model for people."""
    lines = [f"{name}: its original stays: {step.step}: {step.why}" for step in report.skipped if not report.graphs]
    for graph in report.graphs:
        processors = f" for {' '.join(graph.requires)}" if graph.requires else ""
        samples = f", {report.samples} of them samples" if report.samples else ""
        lines.append(f"{name}: {graph.graph}{processors} against {report.original}, {report.texts} texts{samples}")
        lines += [f"  {_line(measure)}" for measure in graph.measures]
        lines += [] if graph.is_judged else ["  not judged: this processor is another"]
    failed = [
        measure for graph in report.graphs if not graph.passed for measure in graph.measures if not measure.passed
    ]
    if failed:
        told = ", ".join(_told(measure) for measure in failed)
        lines.append(f"error: the optimised graph of `{name}` does not answer as its original: {told}")
    return "".join(f"{line}\n" for line in lines)


def _line(measure: Measure) -> str:
    limit = _limit(measure)
    verdict = "" if measure.passed else "  <- not near enough"
    return f"{measure.name.replace('_', ' '):18} {measure.value:8.4f}  {limit}{verdict}".rstrip()


def _told(measure: Measure) -> str:
    return f"{measure.name.replace('_', ' ')} {measure.value:.4f}, {_limit(measure)}"


def _limit(measure: Measure) -> str:
    if measure.at_least is not None:
        return f"at least {measure.at_least:g}"
    return "" if measure.at_most is None else f"at most {measure.at_most:g}"
