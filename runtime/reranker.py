"""Own a cross-encoder that is ready to run: pairs to entries, to logits, to a ranking; it packs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.batch import pad
from runtime.bundle import Activation, Model
from runtime.errors import ModelError
from runtime.scoring import activate, rank
from runtime.session import Session
from runtime.timings import Timings
from runtime.tokenizer import Entry, Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Positions of documents and their scores, the best first."""

    positions: list[int]
    scores: list[float]
    tokens: int
    truncated: int
    timings: Timings | None = None


class Reranker:
    """A cross-encoder, ready to run."""

    def __init__(self, model: Model, *, threads: int) -> None:
        if model.activation is None:
            raise ModelError(f"model `{model.name}`: a reranker needs an activation")
        self.model = model
        self._activation: Activation = model.activation
        self._tokenizer = Tokenizer(model.tokenizer_file, max_length=model.max_length, sequences=2)
        self._session = Session(model.graph_file, inputs=model.inputs, output=model.output, threads=threads)

    def entries(self, query: str, documents: Sequence[str]) -> list[Entry]:
        """Make an entry of the query with each document."""
        return self._tokenizer.encode_pairs(query, documents)

    def forward(self, entries: Sequence[Entry]) -> NDArray[np.float32]:
        """Compute one logit a pair, [entries, 1], in one run of the graph.

        Raises InferenceError, and ModelError for an output that is not what the bundle says.
        """
        batch = pad(entries, pad_token_id=self.model.pad_token_id, side=self.model.padding_side)
        output = self._session.run(batch)
        if output.size != len(entries):
            raise ModelError(
                f"model `{self.model.name}`: output `{self.model.output}` has shape `{list(output.shape)}` "
                f"for `{len(entries)}` pair(s), and a reranker has one logit a pair"
            )
        return output.reshape(-1, 1)

    def finish(
        self, rows: NDArray[np.float32], entries: Sequence[Entry], *, top_n: int | None = None, raw_scores: bool = False
    ) -> Ranking:
        """Order the documents by their score; raw scores are logits."""
        logits = rows[:, 0]
        scores = logits if raw_scores else activate(logits, activation=self._activation)
        positions = rank(scores, top_n=top_n)
        return Ranking(
            positions=positions,
            scores=scores[positions].tolist(),
            tokens=sum(len(entry.ids) for entry in entries),
            truncated=sum(entry.cut > 0 for entry in entries),
        )
