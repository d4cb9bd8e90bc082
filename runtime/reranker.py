"""Own a cross-encoder that is ready to run: pairs to entries, to logits, to a ranking; it packs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.batch import pad
from runtime.bundle import Activation, Model, Side
from runtime.errors import InvalidError, ModelError
from runtime.scoring import activate, rank
from runtime.session import Session
from runtime.tokenizer import Entry, Token, Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Positions of documents and their scores, the best first."""

    positions: list[int]
    scores: list[float]
    tokens: int
    truncated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """The score of each label for each input, in the order of both."""

    labels: list[str]
    scores: list[list[float]]
    tokens: int
    truncated: int


class Reranker:
    """A cross-encoder, ready to run."""

    def __init__(self, model: Model, *, threads: int) -> None:
        if model.activation is None:
            raise ModelError(f"model `{model.name}`: a reranker needs an activation")
        self.model = model
        self._activation: Activation = model.activation
        self._tokenizer = Tokenizer(model.tokenizer_file, max_length=model.max_length, sequences=2)
        self._session = Session(model.graph_file, inputs=model.inputs, output=model.output, threads=threads)

    def entries(
        self, query: str, documents: Sequence[str], *, max_document_tokens: int | None = None, keep: Side = "left"
    ) -> list[Entry]:
        """Make an entry of the query with each document; too long ones `keep` that side."""
        return self._tokenizer.encode_pairs(query, documents, max_document_tokens=max_document_tokens, keep=keep)

    def tokens(self, text: str, *, prompt_name: str | None = None, add_special_tokens: bool = True) -> list[Token]:
        """List the tokens of a text alone, of any length.

        Raises InvalidError for a prompt: pairs have none.
        """
        if prompt_name:
            raise InvalidError("a reranker has no prompts", param="prompt_name")
        return self._tokenizer.tokens(text, add_special_tokens=add_special_tokens)

    def text(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Make text of token ids.

        Raises InvalidError for ids that are not in the vocabulary.
        """
        return self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

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
