"""Own a reranker that is ready to run: a query and documents to entries, to logits, to a ranking; it packs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Model, Side
from runtime.classifier import Classifier
from runtime.scoring import best, rank
from runtime.timings import Timings
from runtime.tokenizer import Entry
from runtime.windows import read_in_windows


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Positions of documents and their scores, the best first."""

    positions: list[int]
    scores: list[float]
    tokens: int
    truncated: int
    timings: Timings | None = None


class Reranker:
    """A cross-encoder or a causal model that answers yes or no; `classifier` scores its pairs one by one."""

    def __init__(self, model: Model, *, threads: int) -> None:
        self.model = model
        self.classifier = Classifier(model, threads=threads)

    def entries(
        self,
        query: str,
        documents: Sequence[str],
        *,
        prompt_name: str | None = None,
        max_document_tokens: int | None = None,
        keep: Side = "left",
    ) -> list[Entry]:
        """Make an entry of the query with each document, after the named prompt or the default one.

        A document is read up to `max_document_tokens`; of what is still too long, `keep` is the side left over.

        Of a document that is too long, several, where the model reads it in windows. Raises InvalidError for a prompt
        that the model does not have.
        """
        texts = [(query, document) for document in documents]
        whole = self.classifier.pairs(texts, prompt_name=prompt_name)
        pairs = [pair.shortened(max_document_tokens) for pair in whole]
        windows = self.model.windows
        if windows is None:
            return [pair.cut(document=number, keep=keep) for number, pair in enumerate(pairs)]
        special_tokens = self.classifier.tokenizer.special_tokens if self.model.template is None else 0
        query_limit = windows.query_length - special_tokens
        return [
            entry
            for number, pair in enumerate(pairs)
            for entry in read_in_windows(pair, query_limit=query_limit, overlap=windows.overlap, document=number)
        ]

    def forward(self, entries: Sequence[Entry], *, beside: bool = False) -> NDArray[np.float32]:
        """Compute one logit an entry, [entries, 1], in one run of the graph, as `Classifier.forward` does."""
        return self.classifier.forward(entries, beside=beside)

    def finish(
        self, rows: NDArray[np.float32], entries: Sequence[Entry], *, top_n: int | None = None, raw_scores: bool = False
    ) -> Ranking:
        """Order the documents by their score, the best of their entries; raw scores are logits."""
        scores = self.classifier.scores(rows, raw_scores=raw_scores)[:, 0]
        documents = [entry.document for entry in entries]
        best_scores = best(scores, owners=documents)
        positions = rank(best_scores, top_n=top_n)
        return Ranking(
            positions=positions,
            scores=best_scores[positions].tolist(),
            tokens=sum(len(entry.ids) for entry in entries),
            truncated=len({entry.document for entry in entries if entry.cut}),
        )
