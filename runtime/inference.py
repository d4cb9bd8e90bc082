"""Own how a loaded model is run to its end at once, batch after batch, in the calling thread; no HTTP here."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.batch import pack
from runtime.bundle import Model, Task
from runtime.classifier import Classes, Classifier, Input
from runtime.embedder import Embedder, Embeddings
from runtime.errors import EmptyError, InferenceError, ModelError
from runtime.reranker import Ranking, Reranker
from runtime.tokenizer import Entry, Text

MAX_BATCH_TOKENS = 512  # of one run of a graph, padding included

_ALONE = 1  # padded token: a budget that no two texts fit in

_WARM_UP = "a"

_CLASSES: dict[Task, type[Embedder | Reranker | Classifier]] = {
    "embedding": Embedder,
    "reranker": Reranker,
    "classifier": Classifier,
}


def load(model: Model, *, threads: int) -> Embedder | Reranker | Classifier:
    """Load a model and run it once, so that what does not fit its bundle is found now.

    Raises ModelError.
    """
    loaded = _CLASSES[model.task](model, threads=threads)
    try:
        run(loaded, warm_up_entries(loaded), max_batch_tokens=1)
    except InferenceError as error:
        raise ModelError(str(error)) from error
    return loaded


def warm_up_entries(model: Embedder | Reranker | Classifier) -> list[Entry]:
    """Make the shortest thing that a model can be asked."""
    return model.entries(_WARM_UP, [_WARM_UP]) if isinstance(model, Reranker) else model.entries([_WARM_UP])


def embed(
    embedder: Embedder,
    texts: Sequence[Text],
    *,
    prompt_name: str | None = None,
    dimensions: int | None = None,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> Embeddings:
    """Embed texts; raises as the embedder's methods and `run` do."""
    embedder.width(dimensions)
    entries = embedder.entries(texts, prompt_name=prompt_name)
    rows = run(embedder, entries, max_batch_tokens=max_batch_tokens)
    return embedder.finish(rows, entries, dimensions=dimensions)


def rerank(
    reranker: Reranker,
    query: str,
    documents: Sequence[str],
    *,
    prompt_name: str | None = None,
    top_n: int | None = None,
    raw_scores: bool = False,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> Ranking:
    """Score each document against the query and order them; raw scores are logits."""
    entries = reranker.entries(query, documents, prompt_name=prompt_name)
    rows = run(reranker, entries, max_batch_tokens=max_batch_tokens)
    return reranker.finish(rows, entries, top_n=top_n, raw_scores=raw_scores)


def classify(
    classifier: Classifier,
    inputs: Sequence[Input],
    *,
    prompt_name: str | None = None,
    raw_scores: bool = False,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> Classes:
    """Score texts or pairs by each label; raw scores are logits."""
    entries = classifier.entries(inputs, prompt_name=prompt_name)
    rows = run(classifier, entries, max_batch_tokens=max_batch_tokens)
    return classifier.finish(rows, entries, raw_scores=raw_scores)


def run(
    model: Embedder | Reranker | Classifier, entries: Sequence[Entry], *, max_batch_tokens: int = MAX_BATCH_TOKENS
) -> NDArray[np.float32]:
    """Run entries in packed batches and put the rows back in the order of the entries: [entries, width].

    Each runs alone where the bundle says that the model's texts may not share a run.

    Raises EmptyError for an entry without tokens, and InferenceError for a row that holds NaN or infinity.
    """
    lengths = lengths_of(entries)
    budget = batch_budget(model.model, max_batch_tokens=max_batch_tokens)
    batches = pack(lengths, max_batch_tokens=budget, groups=[entry.group for entry in entries])
    packed = np.concatenate([model.forward([entries[position] for position in batch]) for batch in batches])
    if not np.isfinite(packed).all():
        raise InferenceError(f"model `{model.model.name}` answered with numbers that are not finite")
    rows = np.empty_like(packed)
    rows[[position for batch in batches for position in batch]] = packed
    return rows


def batch_budget(model: Model, *, max_batch_tokens: int) -> int:
    """Return the padded tokens that a run of the model may have; none share one where the bundle forbids it."""
    return max_batch_tokens if model.batching else _ALONE


def lengths_of(entries: Sequence[Entry]) -> list[int]:
    """Count the tokens of each entry; raises EmptyError for one without any."""
    lengths = [len(entry.ids) for entry in entries]
    if not all(lengths):
        raise EmptyError(f"text `{lengths.index(0)}` has no tokens")
    return lengths
